"""Clips in a session: their frames are images by name, and annotated ones guide all others, forward and backward."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any, SupportsIndex

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from guided_jax.clips import Clip, open_clip
from guided_jax.episode import UNKNOWN
from guided_jax.inputs import check_whole, describe
from guided_jax.model_checks import check_mode
from guided_jax.model_config import places_annotation
from guided_jax.session.annotating import Marked
from guided_jax.session.features import Encoded
from guided_jax.session.follower import Follower, guide_clip
from guided_jax.session.marks import paint
from guided_jax.session.scaling import enlarge, shown_size, shrink_marks
from guided_jax.session.segmenting import Segmenting, labels_of_lead
from guided_jax.video.following import ClipState, begin
from guided_jax.video.ways import DIRECTIONS, follow_legs, plan_legs

CLIP_BUDGET = 1 << 30
"""Bytes of images on the device that are held with a clip where the session was opened without a budget."""

Labelled = tuple[int, UInt8[np.ndarray, "h w"]]
"""The number of a frame, from 0, and the labels of its pixels."""


class Clips(Segmenting):
    """The part of a `Session` that knows clips. `Session` sets the attribute when it opens.

    Attributes:
        _follower: what follows a clip; None: frames are segmented one by one, from what is annotated.
    """

    _follower: Follower | None

    def _forget_all(self) -> None:
        super()._forget_all()
        self._clips: dict[str, tuple[str, ...]] = {}

    @property
    def clips(self) -> dict[str, tuple[str, ...]]:
        """The names of the frames of each clip, by the name of the clip."""
        return dict(self._clips)

    def add_clip(self, name: str, clip: Clip | Any) -> tuple[str, ...]:
        """Adds the frames of a clip as images; none is read or encoded before it is used.

        Args:
            name: of the clip, a text that no other clip has.
            clip: what `guided_jax.clips.open_clip` gives or takes: a folder, a video file, arrays, a generator.

        Returns:
            The names of its frames, in their order, `NAME/00000` and so on; each is the name of an image, for every
            call that takes one. A session that has no `budget` has one of `CLIP_BUDGET` from now on.

        Raises:
            ValueError: the name is none or taken, the clip cannot be opened, or its frames are too small for the grid
                or fit no canvas.
        """
        if not isinstance(name, str) or not name:
            raise ValueError(f"the name of a clip is {describe(name)}; it must be a text, which is not empty")
        if name in self._clips:
            raise ValueError(f"the session holds a clip {name!r} already; remove it, or give another name")
        clip = open_clip(clip)
        names = tuple(f"{name}/{each}" for each in clip.names)
        if taken := next((each for each in names if each in self._marked), None):
            raise ValueError(f"the session holds an image {taken!r} already; give the clip another name")
        shown = shown_size(clip.size, self._max_side)
        canvas = self._canvas(names[0], shown)
        self._features.bound(CLIP_BUDGET)
        for number, each in enumerate(names):
            self._features.announce(each, partial(clip.__getitem__, number), clip.size, shown, canvas)
            self._marked[each] = Marked(clip.size)
        self._clips[name] = names
        return names

    def remove_clip(self, name: str) -> None:
        """Forgets a clip: its frames with their annotations, edits, and all that is kept of them; no edit itself.

        Raises:
            ValueError: there is no such clip.
        """
        for each in self._names_of(name):
            self._forget(each)
            self._features.remove(each)
        del self._clips[name]

    def propagate(
        self,
        name: str,
        *,
        start: SupportsIndex | None = None,
        stop: SupportsIndex | None = None,
        direction: str = "forward",
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[Labelled]:
        """Segments frames of a clip one after the other, guided by all of its annotated frames.

        Guidance follows the clip (`guided_jax.video.following`) where the model's can; a spatial decoder completes the
        annotated frames first, and its trunk follows. With any other model each frame is segmented as `mask` does.

        Forward, a frame is compared with the one before it. That begins at the last annotated frame that is not after
        `start`, whatever lies between is computed too; or else at the first annotated one, and the frames before it
        are segmented from the annotated ones alone. Backward is the same from the other end. Both ways, the frames
        between two annotated ones are weighed by how near each of these is.

        What is annotated when the first frame is asked for counts, where guidance follows; marks made later count in
        the next propagation.

        Args:
            name: of the clip.
            start: number of the first frame, from 0; None: forward the first annotated one, else 0.
            stop: number after the last frame; None: backward that after the last annotated one, else that after the
                last one of the clip.
            direction: forward, backward or both.
            progress: is called with how many steps are done and how many there are in all, after each of them; both
                ways a frame between annotated ones takes two. What it raises ends the work.

        Yields:
            The number of a frame and its labels [h, w] at its own size, as soon as they are computed: forward in
            ascending order, backward in descending order, both ways down from the last annotated frame and then up
            from there. Whoever stops asking has stopped the work: `close()`, or a `break`.

        Raises:
            ValueError: there is no such clip, direction or range of frames, no frame is annotated with an object, or
                the model segments the annotated image alone; while it runs: a frame cannot be read, or was removed.
        """
        names = self._names_of(name)
        if direction not in DIRECTIONS:
            raise ValueError(f"direction is {describe(direction)}; it must be one of {', '.join(DIRECTIONS)}")
        check_mode(self._model.config, "video", f"clip {name!r}: mode")
        annotated = [number for number, each in enumerate(names) if self._marked[each].annotated]
        self._check_guided(name, annotated)
        first = annotated[0] if direction == "forward" and annotated else 0
        last = annotated[-1] + 1 if direction == "backward" and annotated else len(names)
        start = first if start is None else check_whole(start, "start")
        stop = last if stop is None else check_whole(stop, "stop")
        if not 0 <= start < stop <= len(names):
            raise ValueError(
                f"start={start}, stop={stop}: clip {name!r} has the frames 0 to {len(names) - 1}, and start must lie "
                "before stop"
            )
        run = self._follow if self._follower else self._one_by_one
        return run(names, range(start, stop), annotated, direction, progress or _tell_nobody)

    def _check_guided(self, name: str, annotated: list[int]) -> None:
        names = self._clips[name]
        if self._follower:
            labels = (self.annotation(names[number]) for number in annotated)
            guided = any(((each > 0) & (each != UNKNOWN)).any() for each in labels)
        else:
            guided = bool(self._stored) or any(marked.annotated for marked in self._marked.values())
        if not guided:
            raise ValueError(f"clip {name!r}: no frame is annotated with an object; annotate one first, as by a click")

    def _one_by_one(self, names, frames, annotated, direction, progress) -> Iterator[Labelled]:
        del annotated
        for done, number in enumerate(reversed(frames) if direction == "backward" else frames, 1):
            labels = self._labels(names[number])
            progress(done, len(frames))
            yield number, labels

    def _follow(self, names, frames, annotated, direction, progress) -> Iterator[Labelled]:
        follower, way = self._follower, self.way
        maps = [self._completed(names[number]) for number in annotated]
        features = [self._followed(names[number]).followed[0] for number in annotated]
        guidance = guide_clip(follower, features, maps, self._features[names[0]].canvas, way)
        del features, maps

        def score(number: int, state: ClipState):
            shot = annotated.index(number) if number in annotated else -1
            query = self._followed(names[number]).followed[0]
            return follower.score(follower.variables, query, np.int32(0), guidance, state, np.int32(shot))

        legs = plan_legs(annotated, frames, direction)
        total = sum(len(leg.numbers) for leg in legs)
        with closing(follow_legs(legs, score, annotated, frames, begin(guidance, None, 1))) as steps:
            for done, (number, scores) in enumerate(steps, 1):
                labels = None if scores is None else self._labels_of_scores(names[number], scores)
                progress(done, total)
                if labels is not None:
                    yield number, labels

    def _followed(self, name: str) -> Encoded:
        self._at(name)
        follower = self._follower

        def encode(pixels, size, canvas):
            return follower.encode(follower.variables, pixels, size, canvas=canvas)

        return self._features.use_followed(name, encode)

    def _completed(self, name: str) -> UInt8[np.ndarray, "h w"]:
        """The annotation of a frame as it is looked at; filled as the model segments it, where it knows its places.

        With the labels that it is annotated with, and the negative, as in `guided_jax.video.completing`.
        """
        marked, shown = self._at(name), self._features[name].shown
        labels = paint(shrink_marks(marked.marks, marked.size, shown), shown)
        if not places_annotation(self._model.config):
            return labels
        found = self._segment_shown(self._steps.logits, name).argmax(0).astype(np.uint8)
        fills = np.isin(found, [0, *np.unique(labels[labels != UNKNOWN])])
        return np.where((labels == UNKNOWN) & fills, found, labels)

    def _labels_of_scores(self, name: str, scores) -> UInt8[np.ndarray, "h w"]:
        follower, image = self._follower, self._features[name]
        size, (height, width) = jnp.array([image.shown], jnp.int32), image.shown
        arrays = follower.variables, scores, image.followed[1], size
        if image.shown == image.size:
            return np.asarray(follower.label(*arrays, canvas=image.canvas, tasks=1))[0, :height, :width].copy()
        lead = np.asarray(follower.lead(*arrays, canvas=image.canvas))[:, :height, :width]
        return labels_of_lead(enlarge(np.ascontiguousarray(lead), image.size))

    def _names_of(self, name: Any) -> tuple[str, ...]:
        if not isinstance(name, str) or name not in self._clips:
            there = ", ".join(map(repr, self._clips)) or "none yet"
            raise ValueError(f"the session holds no clip {describe(name)}; there are: {there}")
        return self._clips[name]


def _tell_nobody(done: int, total: int) -> None:
    del done, total
