"""The guided segmentor: encode, guide, merge, segment, put together.

observed = observe(image)                        # once an image, whatever the annotations
guidance = guide_observed(observed, annotation)  # late fusion: masks and pools, no convolution of the encoder
task = merge(guidance)                           # over shots
query = query_observed(observed, annotation)     # the head's part of an image to segment, once an image too
logits = segment(query, task)                    # the support is no longer needed

These are the same for every model. Early fusion guides by a whole pass of an encoder: nothing is computed ahead, and
that is its price. What they consist of (`encode`, `guide`, `guide_early` and others) depends on the model.
"""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key, PyTree, UInt8

from guided_jax.backbones.neck import Neck, he_normal, raw_features
from guided_jax.backbones.position_free import PositionFree
from guided_jax.backbones.preprocessing import Preprocessing, normalise
from guided_jax.backbones.side_neck import SideNeck
from guided_jax.backbones.spatial_neck import SpatialNeck
from guided_jax.backbones.table import BACKBONES
from guided_jax.episode import UNKNOWN, Episode
from guided_jax.episodic import annotate_episodes, segment_episodes
from guided_jax.guides import early, guidance, late
from guided_jax.guides.clicks import PaddedClicks
from guided_jax.guides.encodings import amplitude, mask_positives, stack
from guided_jax.guides.guidance import Guidance, Task
from guided_jax.inference.heads import make_head
from guided_jax.inference.union import shots_union
from guided_jax.model_config import (
    ModelConfig,
    geometry_of,
    guides_early,
    keeps_positions,
    places_annotation,
    support_geometry_of,
)
from guided_jax.observed import Observed, guide_observed, observe, query_observed
from guided_jax.resample import interpolate, keep_valid, label_planes


class Segmentor(nn.Module):
    """A guided network (or its unguided twin); every method is pure in the parameters.

    Attributes:
        config: the configuration of the model, which `check_model` accepts.
        preprocessing: how images become the trunk's input, as its weights expect; it happens on the device.
    """

    config: ModelConfig
    preprocessing: Preprocessing

    def setup(self):
        """Builds the trunk, the neck, the head, and what the guide has of its own."""
        config = self.config
        init = nn.initializers.normal(config.init_std) if config.init_std else he_normal
        self.geometry, self.support_geometry = geometry_of(config), support_geometry_of(config)
        trunk = partial(BACKBONES[config.backbone].trunk, jnp.dtype(config.dtype), remat=config.remat)
        neck = partial(
            Neck,
            config.feature_width,
            dropout_rate=config.dropout,
            # The reference drops elements of the pretrained fc6 and channels of a new one (checklist 17).
            dropout_channels=config.feature_width != 4096,
            kernel_init=init,
            dtype=jnp.dtype(config.dtype),
        )
        self.trunk = trunk()
        if config.inference == "decoder":
            widths = config.feature_width, config.embedding, config.principal
            self.neck = SpatialNeck(*widths, dtype=jnp.dtype(config.dtype))
        elif config.inference == "side-outputs":
            self.neck = SideNeck(config.feature_width, init, dtype=jnp.dtype(config.dtype))
        elif config.feature_width:
            self.neck = neck()
        elif config.positional:
            self.neck = PositionFree(config.positional)
        if guides_early(config):
            self.support_trunk, self.support_neck = trunk(), neck()
        if config.mask == "learned":
            self.mask = late.LearnedMasks(self.support_geometry)
        self.head = make_head(config, init)

    def observe(
        self,
        image,
        canvas: tuple[int, int],
        size: Int32[Array, "b 2"],
        keys: Key[Array, " b"] | None = None,
        *,
        refined: bool = True,
    ) -> Observed:
        """Computes all of images that does not depend on annotations; under `jit`, what is not used is not computed.

        Args:
            image: uint8 [b, h, w, 3], or the trunk's maps of the images.
            canvas: height and width of the canvas in pixels.
            size: true height and width of each image.
            keys: one an image, for dropout in training.
            refined: False leaves out the interpolation of the features to the support's own grid, where there is one:
                for images that may never be annotated. `refine_observed` makes up for it.

        Raises:
            ValueError: the canvas is too small for the grid.
        """
        return observe(self, image, canvas, size, keys, refined=refined)

    def refine_observed(self, observed: Observed, canvas: tuple[int, int]) -> Observed:
        """Makes up for `observe(refined=False)`, so that the images can guide."""
        if observed.support is None:
            return observed
        return observed._replace(support=self.refine_support(observed.support, canvas, observed.size))

    def query_observed(
        self,
        observed: Observed,
        annotation: UInt8[Array, "b h w"] | PaddedClicks | None = None,
        keys: Key[Array, " b"] | None = None,
        way: int | None = None,
    ) -> PyTree:
        """What the head sees of images that are to be segmented, the guidance aside.

        Args:
            observed: of the images [b].
            annotation: of the same images, for models that look at it; None: another image is annotated.
            keys: one an image, for dropout in training.
            way: number of labels, where not the configuration's.

        Raises:
            ValueError: there is no annotation, and the model sees nothing without.
        """
        return query_observed(self, observed, annotation, keys, way or self.config.way)

    def guide_observed(
        self,
        observed: Observed,
        annotation: UInt8[Array, "*b h w"] | PaddedClicks,
        way: int | None = None,
        keys: Key[Array, " b"] | None = None,
    ) -> Guidance | None:
        """What annotated images say of the task; None where the model is guided by none (`inference=direct`).

        Args:
            observed: of the images [*b], refined.
            annotation: label maps of the images; points on the padding are no points. Or the clicks on a single image
                (b = 1), where the model `guides_by_coordinates`.
            way: number of labels, where not the configuration's.
            keys: one for each entry of the first axis, for dropout in training.
        """
        return guide_observed(self, observed, annotation, way, keys)

    def trunk_maps(
        self, image: UInt8[Array, "b h w 3"], size: Int32[Array, "b 2"]
    ) -> tuple[Float[Array, "b _ _ _"], ...]:
        """The maps of the trunk that the neck reads; what a feature cache holds."""
        return self.trunk(self._normalised(image), size, self.geometry)

    def _normalised(self, image):
        return normalise(image, self.preprocessing, jnp.dtype(self.config.dtype))

    def encode(self, image, canvas: tuple[int, int], size: Int32[Array, "b 2"], keys: Key[Array, " b"] | None = None):
        """Features of images: float [b, n, m, c], non-negative, 0 on the padding.

        Args:
            image: uint8 [b, h, w, 3], or the trunk's maps of the images.
            canvas: height and width of the canvas.
            size: true height and width of each image.
            keys: one an image, for dropout in training.
        """
        if min(canvas) < self.geometry.minimum_size:
            raise ValueError(
                f"an image of {canvas[0]}x{canvas[1]} px: model.grid={self.config.grid} with "
                f"model.stride={self.geometry.stride} needs {self.geometry.minimum_size} px a side; taps takes any"
            )
        maps = image if isinstance(image, tuple) else self.trunk_maps(image, size)
        if self.config.inference == "decoder":
            return self.neck(maps, canvas, size, self.geometry)
        if not self.config.feature_width:
            features = raw_features(maps, canvas, size, self.geometry)
            return self.neck(features) if self.config.positional else features
        return self.neck(maps, canvas, size, keys, self.geometry)

    def encode_support(
        self, image, canvas: tuple[int, int], size: Int32[Array, "b 2"], keys: Key[Array, " b"] | None = None
    ):
        """Features of support images under late fusion, on the support's own grid where it has one (paper 4.1).

        The arguments are those of `encode`. Under average pooling, interpolated features change the guidance by a few
        per cent only: weighing cells by bilinear masks is reading the interpolated map at the points already, and the
        finer grid, whose cells do not lie on the coarser ones, smoothes it once more.
        """
        if self.config.support_grid == "dilated":
            maps = self.trunk(self._normalised(image), size, self.support_geometry)
            return self.neck(maps, canvas, size, keys, self.support_geometry)
        return self.refine_support(self.to_compare(self.encode(image, canvas, size, keys)), canvas, size)

    def refine_support(
        self, features: Float[Array, "b n m c"], canvas: tuple[int, int], size: Int32[Array, "b 2"]
    ) -> Float[Array, "b n2 m2 c"]:
        """Interpolates features to the support's grid where `support_grid=interpolated`; else leaves them."""
        if self.config.support_grid != "interpolated":
            return features
        fine = self.support_geometry
        weights = [self.geometry.weights_at(fine.centres(side), side) for side in canvas]
        valid = self.geometry.cells(size)[:, None]
        planes = interpolate(jnp.moveaxis(features, -1, 1), *weights, valid=valid)
        return keep_valid(jnp.moveaxis(planes, 1, -1), fine.cells(size)).astype(features.dtype)

    def prepare(self, features: Float[Array, "b n m c"], size: Int32[Array, "b 2"]) -> PyTree:
        """The head's part of a query: all that `segment` needs of it."""
        query = self.head.prepare(features)
        return query._replace(cells=self.geometry.cells(size)) if places_annotation(self.config) else query

    def to_compare(self, features: Float[Array, "b n m c"]) -> Float[Array, "b n m c2"]:
        """The channels of features that guide: all of them, but for the decoder's those that are compared."""
        return features[..., self.config.feature_width :] if self.config.inference == "decoder" else features

    def guide(
        self,
        features: Float[Array, "*b n m c"],
        annotation: UInt8[Array, "*b h w"],
        size: Int32[Array, "*b 2"],
        way: int | None = None,
    ) -> Guidance:
        """Guidance of each shot under late fusion; that of an image's annotation is the sum of that of its parts.

        Args:
            features: what `encode_support` gives.
            annotation: labels of each image's pixels; points on the padding are no points.
            size: true height and width of each image.
            way: number of labels, where not the configuration's.
        """
        config, geometry = self.config, self.support_geometry
        planes = label_planes(late.inside_only(annotation, size), way or config.way)
        masks = self.mask(planes, size) if config.mask == "learned" else late.fixed_masks(planes, geometry, size)
        shot = late.guide(features, masks, late.count_points(planes), config.pooling)
        if config.locality == "global":
            return shot
        weights = masks if keeps_positions(config) else late.points_by_cell(planes, geometry, size)
        return shot._replace(features=features.astype(jnp.float32), weights=weights)

    def guide_early(
        self,
        image: UInt8[Array, "*b h w 3"],
        annotation: UInt8[Array, "*b h w"],
        size: Int32[Array, "*b 2"],
        keys: Key[Array, " b"] | None = None,
    ) -> Guidance:
        """Guidance of each shot under early fusion: a whole pass of the support encoder.

        Masking shows the positives alone, so there a shot without any is one without annotation.

        Args:
            image: RGB, 0 to 255.
            annotation: labels of each image's pixels; points on the padding are no points.
            size: true height and width of each image.
            keys: one for each entry of the first axis, for dropout in training.
        """
        lead = annotation.shape[:-2]
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(lead) :]), (image, annotation, size))
        if keys is not None:
            keys = jax.vmap(lambda key: jax.random.split(key, math.prod(lead[1:])))(keys).reshape(-1)
        features = self.encode_annotated(*flat, keys, of_support=True)
        features = features.reshape(*lead, *features.shape[1:])
        config, cells = self.config, self.geometry.cells(size)
        annotation = late.inside_only(annotation, size)
        if config.fusion == "mask":
            annotation = jnp.where(annotation == 0, jnp.uint8(UNKNOWN), annotation)
        return early.guide(features, annotation, cells, config.pooling, local=keeps_positions(config))

    def encode_annotated(
        self,
        image: UInt8[Array, "b h w 3"],
        annotation: UInt8[Array, "b h w"],
        size: Int32[Array, "b 2"],
        keys: Key[Array, " b"] | None = None,
        *,
        of_support: bool = False,
    ) -> Float[Array, "b n m c"]:
        """Features of image and annotation together (early fusion); points on the padding are no points.

        Args:
            image: RGB, 0 to 255.
            annotation: labels of each image's pixels.
            size: true height and width of each image.
            keys: one an image, for dropout in training.
            of_support: whether by the support's own encoder; else by the only one (`inference=direct`).
        """
        config = self.config
        pixels, annotation = self._normalised(image), late.inside_only(annotation, size)
        if config.fusion == "stack":
            factor = config.amplitude * amplitude(self.preprocessing)
            pixels = stack(pixels, annotation, config.way, config.encoding, factor)
        else:
            pixels = mask_positives(pixels, annotation)
        trunk, neck = (self.support_trunk, self.support_neck) if of_support else (self.trunk, self.neck)
        return neck(trunk(pixels, size, self.geometry), image.shape[1:3], size, keys, self.geometry)

    def merge(self, shots: Guidance | None) -> Task:
        """Merges the guidance of shots [b, s, ...] into the task representation; None: there is none of either."""
        config = self.config
        if shots is None:
            return Task(None)
        if config.merge == "union":
            return Task(guidance.keep_shots(shots, config.pooling))
        task = Task(guidance.pool_shots(shots, config.merge, config.pooling))
        if config.locality == "global":
            return task
        if keeps_positions(config):
            return task._replace(local=guidance.keep_positions(shots))
        return task._replace(neighbours=guidance.keep_neighbours(shots))

    def segment(
        self,
        query: PyTree,
        task: Task,
        canvas: tuple[int, int],
        size: Int32[Array, "b 2"],
        keys: Key[Array, " b"] | None = None,
    ) -> Float[Array, "b k h w"]:
        """Logits of every label at every pixel of the canvas, label planes first.

        With the exact grid they fade towards 0 within 32 pixels of the border as the reference's do.
        """
        return self.score(query, task, canvas, size, keys)[0]

    def score(
        self,
        query: PyTree,
        task: Task,
        canvas: tuple[int, int],
        size: Int32[Array, "b 2"],
        keys: Key[Array, " b"] | None = None,
        stride: int = 1,
    ) -> tuple[Float[Array, "b k h w"], Float[Array, "b r p"] | None]:
        """What `segment` gives, and the output weights that were regressed from the guidance, else None.

        A stride above 1 gives the logits of every so many pixels alone, from `stride // 2` on.
        """
        geometry = self.geometry
        scores, weights = self.head(query, task, keys)
        valid = geometry.cells(size)[:, None]
        rows, columns = (geometry.pixel_weights(side)[stride // 2 :: stride] for side in canvas)
        if geometry.fades:
            scores = jnp.moveaxis(keep_valid(jnp.moveaxis(scores, 1, -1), valid[:, 0]), -1, 1)
            logits = interpolate(scores, rows, columns)
        else:
            logits = interpolate(scores, rows, columns, valid=valid)
        return shots_union(logits) if self.config.merge == "union" else logits, weights

    def __call__(
        self,
        episode: Episode,
        keys: Key[Array, " b"] | None = None,
        reduce_draw=lambda logits, weights: logits,
        *,
        way: int | None = None,
        union: bool = False,
    ) -> PyTree:
        """Segments the queries of a batch of episodes under each draw of their annotations.

        Args:
            episode: the batch; its target is not looked at.
            keys: one an episode, for dropout; None in evaluation.
            reduce_draw: applied to the logits [b, k, h, w] of one draw and to the weights that were regressed for it
                (None by other inference), so that many draws need not be held at once.
            way: number of labels of the annotations, where not the configuration's.
            union: segments more than two labels as a union of binary tasks, one against the rest (paper 3), even
                where the head takes any number (late fusion, shared).

        Returns:
            What `reduce_draw` gives, stacked over the draws: leaves [a, ...]; by itself logits [a, b, k, h, w].
        """
        return segment_episodes(self, episode, keys, reduce_draw, way or self.config.way, union=union)

    def annotate(self, episode: Episode, rounds: Int32[Array, ""], add, stride: int = 1) -> UInt8[Array, "b a s h w"]:
        """The annotations of a batch of episodes after rounds in which the prediction decides what is added.

        Args:
            episode: the batch; encoded once, without dropout.
            rounds: how many.
            add: from (number of the round, logits [b, k, h2, w2], annotation [b, s, h, w]) to the next annotation.
            stride: pixels between the positions that logits are asked for, the first at `stride // 2`.
        """
        return annotate_episodes(self, episode, rounds, add, stride)
