"""The guided segmentor: encode, guide, merge, segment, put together.

features = encode(image)               # once an image, whatever the annotations
guidance = guide(features, annotation) # masks and pools: no convolution
z = merge(guidance)                    # over shots
logits = segment(features, z)          # the support is no longer needed
"""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key, PyTree, UInt8

from guided_jax.backbones.geometry import Geometry
from guided_jax.backbones.preprocessing import PREPROCESSINGS, Preprocessing, normalise
from guided_jax.backbones.vgg import STAGES, Neck, Trunk, he_normal
from guided_jax.episode import Episode
from guided_jax.guides import late
from guided_jax.inference.feature_fusion import FeatureFusion
from guided_jax.resample import interpolate, keep_valid, label_masks


@dataclass
class ModelConfig:
    """The guided segmentor; the defaults are the reference's `interactive-late-glob`.

    Attributes:
        backbone: name in the table of backbones: vgg16, vgg16-quarter, vgg-small, vgg-tiny.
        grid: how the feature grid is made: exact, dilated or taps (`guided_jax.backbones.geometry`).
        stride: pixels between the cells of the feature grid.
        feature_width: channels of fc6's features: 4096, or 256 for the "lite" models.
        fc6_kernel: side of fc6's kernel.
        inference: shared, unshared, or unguided (the foreground-background baseline).
        way: number of labels, the negative included.
        dropout: rate, of the features and in the head.
        init_std: standard deviation of the new layers' normal initialisation; 0: He's, by the fan-in.
        preprocessing: of the images where no pretrained weights bring their own: caffe or torchvision.
        dtype: of the computation: float32 or bfloat16; parameters are float32.
    """

    backbone: str = "vgg16"
    grid: str = "exact"
    stride: int = 32
    feature_width: int = 4096
    fc6_kernel: int = 7
    inference: str = "shared"
    way: int = 2
    dropout: float = 0.5
    init_std: float = 0.001
    preprocessing: str = "caffe"
    dtype: str = "float32"


def check_model(config: ModelConfig) -> None:
    """Raises ValueError with the reason where the configuration makes no model."""
    choices = {
        "backbone": STAGES,
        "inference": ("shared", "unshared", "unguided"),
        "preprocessing": PREPROCESSINGS,
        "dtype": ("float32", "bfloat16"),
    }
    for field, allowed in choices.items():
        if (value := getattr(config, field)) not in allowed:
            raise ValueError(f"model.{field}={value!r} is not one of {', '.join(allowed)}")
    if not 0 <= config.dropout < 1:
        raise ValueError(f"model.dropout={config.dropout} is not a rate in [0, 1)")
    if config.way < 2:
        raise ValueError(f"model.way={config.way}: at least 2 labels, the negative and one positive")
    try:
        geometry_of(config)
    except ValueError as error:
        raise ValueError(f"model.grid, model.stride, model.fc6_kernel: {error}") from error


def geometry_of(config: ModelConfig) -> Geometry:
    """The grid's geometry."""
    return Geometry(config.grid, len(STAGES[config.backbone]), config.stride, config.fc6_kernel)


class Segmentor(nn.Module):
    """A guided network (or its unguided twin); every method is pure in the parameters.

    Attributes:
        config: the model.
        preprocessing: of the pretrained weights; normalisation happens on the device.
    """

    config: ModelConfig
    preprocessing: Preprocessing

    def setup(self):
        """Builds the trunk, the neck and the head."""
        config = self.config
        dtype = jnp.dtype(config.dtype)
        init = nn.initializers.normal(config.init_std) if config.init_std else he_normal
        self.geometry = geometry_of(config)
        self.trunk = Trunk(STAGES[config.backbone], self.geometry, dtype)
        self.neck = Neck(
            self.geometry,
            config.feature_width,
            dropout_rate=config.dropout,
            # The reference drops elements of the pretrained fc6 and channels of a new one (checklist 17).
            dropout_channels=config.feature_width != 4096,
            kernel_init=init,
            dtype=dtype,
        )
        self.head = FeatureFusion(config.inference, config.way, config.dropout, init, dtype)

    def trunk_maps(
        self, image: UInt8[Array, "b h w 3"], size: Int32[Array, "b 2"]
    ) -> tuple[Float[Array, "b _ _ _"], ...]:
        """The maps of the trunk that the neck reads; what a feature cache holds."""
        dtype = jnp.dtype(self.config.dtype)
        image = keep_valid(normalise(image, self.preprocessing, dtype), size)
        return self.trunk(image, size)

    def encode(self, image, canvas: tuple[int, int], size: Int32[Array, "b 2"], keys: Key[Array, " b"] | None = None):
        """Features of images: float [b, n, m, c], non-negative, 0 on the padding.

        Args:
            image: uint8 [b, h, w, 3], or the trunk's maps of the images.
            canvas: height and width of the canvas.
            size: true height and width of each image.
            keys: one an image, for dropout in training.
        """
        maps = image if isinstance(image, tuple) else self.trunk_maps(image, size)
        return self.neck(maps, canvas, size, keys)

    def guide(
        self, features: Float[Array, "*b n m c"], annotation: UInt8[Array, "*b h w"], way: int | None = None
    ) -> late.Guidance:
        """Guidance of one shot; `late.Guidance` of annotations of the same image add up."""
        geometry = self.geometry
        rows, columns = (geometry.pixel_weights(side) for side in annotation.shape[-2:])
        masks = label_masks(annotation, rows, columns, way=way or self.config.way, stride=geometry.stride)
        return late.guide(features, masks)

    def segment(
        self,
        features: Float[Array, "b n m c"],
        z: Float[Array, "b k c"],
        canvas: tuple[int, int],
        size: Int32[Array, "b 2"],
        keys: Key[Array, " b"] | None = None,
    ) -> Float[Array, "b k h w"]:
        """Logits of every label at every pixel of the canvas, label planes first.

        With the exact grid they fade towards 0 within 32 pixels of the border as the reference's do.
        """
        geometry = self.geometry
        scores = self.head(features, z, keys)
        valid = geometry.cells(size)[:, None]
        rows, columns = (geometry.pixel_weights(side) for side in canvas)
        if geometry.grid == "taps":
            return interpolate(scores, rows, columns, valid=valid)
        scores = jnp.moveaxis(keep_valid(jnp.moveaxis(scores, 1, -1), valid[:, 0]), -1, 1)
        return interpolate(scores, rows, columns)

    def __call__(
        self, episode: Episode, keys: Key[Array, " b"] | None = None, reduce_draw=lambda logits: logits
    ) -> PyTree:
        """Segments the queries of a batch of episodes under each draw of their annotations.

        Args:
            episode: the batch; its target is not looked at.
            keys: one an episode, for dropout; None in evaluation.
            reduce_draw: applied to the logits [b, k, h, w] of one draw, so that many draws need not be
                held at once.

        Returns:
            What `reduce_draw` gives, stacked over the draws: leaves [a, ...]; by itself logits [a, b, k, h, w].
        """
        canvas = episode.annotation.shape[-2:]
        query, support = self._encode_all(episode, canvas, keys)
        head_keys = None if keys is None else _fold(keys, 1)

        def one_draw(annotation):
            z = late.merge(self.guide(support, annotation))
            return reduce_draw(self.segment(query, z, canvas, episode.query_size, head_keys))

        draws = jnp.moveaxis(episode.annotation, 1, 0)
        if draws.shape[0] == 1 or self.is_initializing():
            return jax.tree.map(lambda leaf: leaf[None], one_draw(draws[0]))
        # A Python loop would compile every draw again; the head makes no parameters by now, so a
        # plain scan over a bound module is safe.
        return jax.lax.map(one_draw, draws)

    def _encode_all(self, episode, canvas, keys):
        """Features of the queries [b, ...] and of the shots [b, s, ...], in one pass of the encoder."""
        encoder_keys = None if keys is None else _fold(keys, 0)
        if episode.support is None:
            features = self.encode(episode.query, canvas, episode.query_size, encoder_keys)
            return features, features[:, None]
        b, s = episode.support_size.shape[:2]

        def join(query, support):
            return jnp.concatenate([query[:, None], support], 1).reshape(b * (s + 1), *query.shape[1:])

        images = jax.tree.map(join, episode.query, episode.support)
        sizes = join(episode.query_size, episode.support_size)
        if keys is not None:
            encoder_keys = jax.vmap(lambda key: jax.random.split(key, s + 1))(encoder_keys).reshape(b * (s + 1))
        features = self.encode(images, canvas, sizes, encoder_keys)
        features = features.reshape(b, s + 1, *features.shape[1:])
        return features[:, 0], features[:, 1:]


def _fold(keys: Key[Array, " b"], number: int) -> Key[Array, " b"]:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
