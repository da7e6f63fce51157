"""A session: images encoded once, then clicked on many times.

    session = Session(guided_jax.load(path))
    session.add("frame 7", image)              # uint8 [h, w, 3]; the only run of the encoder
    session.click("frame 7", 120, 340, 1)      # row, column, label
    mask = session.mask("frame 8")             # uint8 [h, w], guided by the clicks on all images

The images that carry an annotation are the support, any image is a query. Under late fusion a click costs the guidance
of the clicked image (four cells of the grid for each of its clicks), the merge, and the head. The guidance is built
anew from the image's marks, so that an undo leaves no trace. An annotation by a scribble or a label map, or a learned
mask, costs a pass over the map instead. Under early fusion there is nothing to keep: each change of an image's
annotation costs a whole pass of the encoder over that image (and with `inference=direct` that image alone can be
segmented).
"""

from collections.abc import Hashable, Sequence
from copy import copy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from guided_jax.inputs import check_canvases, check_way, check_whole, describe
from guided_jax.loaded_model import WithParams, model_and_params
from guided_jax.loading import load
from guided_jax.model_checks import check_mode
from guided_jax.segmentor import Segmentor
from guided_jax.session.annotating import Marked
from guided_jax.session.checks import check_name
from guided_jax.session.clips import CLIP_BUDGET, Clips
from guided_jax.session.features import Features, Source, read_source
from guided_jax.session.follower import compile_follower
from guided_jax.session.guidance_file import Shot, StoredGuidance, fingerprint, fit, read_guidance, write_guidance
from guided_jax.session.scaling import shown_size
from guided_jax.session.steps import compile_steps
from guided_jax.session.tasks import tasks_of


class Session(Clips):
    """Images, their annotations, and the masks that follow from them. Not for several threads at once."""

    def __init__(
        self,
        model: Segmentor | WithParams | None = None,
        params: dict | None = None,
        *,
        way: int = 0,
        canvases: Sequence[tuple[int, int]] = (),
        max_side: int | None = None,
        guided_filter: bool = False,
        budget: int | None = None,
    ):
        """Opens a session; nothing is computed yet.

        Args:
            model: what `guided_jax.load` gives, or the network alone; None: the guide that comes with the package.
            params: of the network where it comes alone.
            way: number of labels, the negative included; 0: the model's own. `add_object` raises it. Where the head
                takes two labels alone, more are segmented as a union of binary tasks, each label against the rest.
            canvases: heights and widths on which images lie, each on the smallest that holds it. A canvas compiles
                once; results do not depend on it. Empty: each image on a canvas of its own size.
            max_side: images whose longer side has more pixels are looked at scaled down to it; masks and all else come
                at the image's own size, and clicks are given there. 0: every image at its own size. None: what the
                model says of itself, which the guides that come with the package do, or 0.
            guided_filter: whether masks follow the edges of the image (`guided_jax.guided_filter`), at a few ms a mask;
                else they are interpolated, as the logits are.
            budget: bytes on the device that may be held of the images, the parameters and guidance aside; beyond it
                what is encoded of the image not used for the longest time is dropped, and computed again when it is
                needed. The image in use is always held. The pixels are then kept on the host, unless a function gives
                them (see `add`). None: all is held, and no pixels are kept.

        Raises:
            ValueError: the head takes no such number of labels, there are no parameters, a canvas is no size, the
                greatest side no number of pixels, or the budget no number of bytes.
        """
        model = load() if model is None else model
        if max_side is None:
            max_side = getattr(model, "about", {}).get("max_side", 0)
        if check_whole(max_side, "max_side") < 0:
            raise ValueError(f"max_side={max_side}: must be a number of pixels, or 0 for no bound")
        model, params = model_and_params(model, params)
        way = check_way(way if check_whole(way, "way") else model.config.way)
        tasks_of(model.config, way)
        if budget is not None and check_whole(budget, "budget") < 0:
            raise ValueError(f"budget={budget}: must be 0 or more bytes, or None for no bound")
        self._model, self._canvases, self._max_side = model, check_canvases(canvases), max_side
        self._variables = {"params": jax.tree.map(jnp.asarray, params)}
        self._steps = compile_steps(model, filtered=guided_filter)
        self._features = Features(self._steps, self._variables, budget)
        self._follower = compile_follower(model, self._variables["params"])
        self._fingerprint = ""  # computed when it is first asked for: it takes a look at every parameter
        self._stored: tuple[Shot, ...] = ()
        super().__init__(way)

    def fresh(self) -> "Session":
        """Another session on the same model, as it was opened and without images; the two share what is compiled."""
        other = copy(self)
        other._features, other._stored = self._features.fresh(), ()
        other._forget_all()
        return other

    def add(self, name: Hashable, image: Source) -> None:
        """Adds an image and encodes it.

        Args:
            name: of the image; anything hashable but None.
            image: RGB uint8 [h, w, 3], 0 to 255; of numpy or JAX. Or a function that gives it, each time the same: it
                is called now, to look at the size, and when the image is to be encoded: when it is first used, and
                again after that was dropped (see `budget` of the session).

        Raises:
            ValueError: the name is taken or none, this is no RGB image, it is too small for the grid, or no canvas
                holds it.
        """
        if check_name(name) in self._marked:
            raise ValueError(f"the session holds an image {name!r} already; remove it, or give another name")
        pixels = read_source(image, f"image {name!r}")
        size = pixels.shape[:2]
        shown = shown_size(size, self._max_side)
        self._features.add(name, image, pixels, shown, self._canvas(name, shown))
        self._marked[name] = Marked(size)

    def remove(self, name: Hashable) -> None:
        """Forgets an image with its annotation, its edits, and all that is kept of it on the device; no edit itself.

        Raises:
            ValueError: there is no such image, or it is a frame of a clip: `remove_clip` forgets that.
        """
        self._at(name)
        if clip := next((clip for clip, frames in self._clips.items() if name in frames), None):
            raise ValueError(f"image {name!r} is a frame of the clip {clip!r}; remove_clip forgets all of that")
        self._forget(name)
        self._features.remove(name)

    def mask(self, name: Hashable) -> UInt8[np.ndarray, "h w"]:
        """The label of every pixel of an image at its own size, on the host.

        Where nothing is annotated: what the model says of an empty annotation.

        Raises:
            ValueError: there is no such image, or another one is annotated and the model segments that one alone.
        """
        return self._labels(name)

    def to_encode(self, name: Hashable) -> tuple[Hashable, ...]:
        """Names of the images that the next mask of an image has to encode first, itself last; () where all is held.

        Another thread may encode them in a `fresh` session meanwhile, for `merge`.
        """
        self._at(name)
        tasks = tasks_of(self._model.config, self.way)
        annotated = [each for each, marked in self._marked.items() if marked.annotated]
        guiding = [each for each in annotated if not {*tasks} <= {*self._features[each].guidance}]
        return tuple(each for each in dict.fromkeys([*guiding, name]) if self._features[each].observed is None)

    def logits(self, name: Hashable) -> Float[np.ndarray, "k h w"]:
        """The logits behind `mask`, label planes first; of a union of binary tasks the log odds of each, 0 for label 0.

        A guided filter does not touch them, nor what follows from them below.
        """
        return self._segment(self._steps.logits, name)

    def probabilities(self, name: Hashable) -> Float[np.ndarray, "k h w"]:
        """The probability of each label at every pixel of an image, float32: the softmax of `logits`."""
        return self._segment(self._steps.probabilities, name)

    def uncertainty(self, name: Hashable) -> Float[np.ndarray, "h w"]:
        """Where the model is unsure, float32: 1 less the margin between the probabilities of the two likeliest labels.

        0 where one label is certain, 1 where two are equally likely.
        """
        return self._segment(self._steps.uncertainty, name)

    def compiled(self) -> int:
        """Number of programs compiled so far, by this session and its `fresh` ones together."""
        return self._steps.programs() + (self._follower.programs() if self._follower else 0)

    def held(self) -> int:
        """Bytes on the device that are held of the images and count for the `budget`."""
        return self._features.held()

    def save_guidance(self, path: str | Path) -> None:
        """Writes what all annotated images say of the task, without their pixels (`guided_jax.session.guidance_file`).

        Args:
            path: a file name that ends in `.safetensors`.

        Raises:
            ValueError: nothing is annotated, the model is not guided, or segments the annotated image alone, or the
                file cannot be written.
        """
        check_mode(self._model.config, "video", "guidance for other images: mode")
        tasks = tasks_of(self._model.config, self.way)
        annotated = [name for name, marked in self._marked.items() if marked.annotated]
        shots = [*self._stored, *({task: self._guidance(name, task) for task in tasks} for name in annotated)]
        if not shots:
            raise ValueError(f"{path}: there is no guidance to write: no image is annotated")
        if any(guidance is None for shot in shots for guidance in shot.values()):
            raise ValueError(f"{path}: there is no guidance to write: nothing guides the model")
        write_guidance(path, self._identity(), StoredGuidance(self.objects, tuple(shots)))

    def load_guidance(self, path: str | Path) -> None:
        """Reads guidance from a file; from now on it guides beside the annotated images. No edit; see `drop_guidance`.

        Objects with names are known again by them, those without by their labels; any other gets a label of its own.

        Raises:
            ValueError: the file cannot be read, its guidance is of another model, or the model takes no more labels.
        """
        check_mode(self._model.config, "video", "guidance of other images: mode")
        theirs = read_guidance(path, self._model, self._identity())
        labels = self._match(theirs.objects)
        shots = self._fit(theirs.shots, labels)
        self._add_matched(labels, theirs.objects)
        self._stored = (*self._stored, *shots)

    def drop_guidance(self) -> None:
        """Forgets the guidance that was loaded, or merged from loaded guidance."""
        self._stored = ()

    def merge(self, other: "Session") -> None:
        """Takes over what another session on the same model holds; the other one stays as it is.

        Its images that are not here are added; what is encoded there and not here comes with them. Its annotations are
        laid over those that are here, as one edit; images of one name must be the same. Its loaded guidance comes to
        the own. Objects are known again as by `load_annotations`.

        Raises:
            ValueError: it is no other session or one on another model, one filters masks and the other does not, an
                image has another size there or a clip other frames, or the model takes no more labels.
        """
        if not isinstance(other, Session) or other is self:
            raise ValueError(f"what is merged is {describe(other)}; it must be another session")
        if other._steps is not self._steps:
            if other._identity() != self._identity():
                raise ValueError("the other session is on another model; sessions of one model can be merged")
            if (other._steps.edges is None) != (self._steps.edges is None):
                raise ValueError("one of the sessions has guided_filter=True and the other has not; open both alike")
        for name in (name for name in other.names if name in self._marked):
            self._check_size(name, other._at(name).size, "the other session")
        for clip in (clip for clip in other.clips if clip in self.clips):
            if other.clips[clip] != self.clips[clip]:
                raise ValueError(f"the other session: clip {clip!r} has other frames there than here")
        labels = self._match(other.objects)
        shots = self._fit(other._stored, labels)
        for name in other.names:
            theirs = other._features[name]
            if name not in self._marked or (self._features[name].observed is None and theirs.observed is not None):
                self._features.adopt(name, theirs)
            self._marked.setdefault(name, Marked(other._at(name).size))
        if other._clips:
            self._features.bound(CLIP_BUDGET)
        self._clips = {**other._clips, **self._clips}
        self._take(other.annotations(), "the other session")
        self._add_matched(labels, other.objects)
        self._stored = (*self._stored, *shots)

    def _fit(self, shots: tuple[Shot, ...], labels: dict[int, int]) -> tuple[Shot, ...]:
        """Another session's guidance by the labels here, which may be more then."""
        way = max(self.way, max(labels.values(), default=1) + 1)
        return fit(shots, labels, tasks_of(self._model.config, way), way)

    def _identity(self) -> str:
        self._fingerprint = self._fingerprint or fingerprint(self._model, self._variables["params"])
        return self._fingerprint

    def _check_way(self, way: int) -> None:
        super()._check_way(way)
        tasks_of(self._model.config, way)

    def _grown(self) -> None:
        super()._grown()
        same = {label: label for label in range(1, self.way)}
        self._stored = fit(self._stored, same, tasks_of(self._model.config, self.way), self.way)
