"""In which order the frames of a clip are followed, and what of it is kept: one frame's memory, however long it is.

Forward begins at the last annotated frame that is not after the first frame asked for, so that there is something to
follow; where there is none, at the first annotated frame, and the frames before are segmented from the annotated ones
alone. Backward is its mirror image. Both ways: forward between the outermost annotated frames, whose scores are kept;
then backward from the last one, where both are weighed by how near the next annotated frame is on each side; then
forward from the last one. So it gives what `guided_jax.video.following.score_both_ways` gives of the whole clip, and
holds the scores between two annotated frames in place of all features.
"""

import tempfile
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from guided_jax.video.following import ClipState, Score, join_ways

DIRECTIONS = ("forward", "backward", "both")

SPOOLED = 32 << 20
"""Bytes of scores that are kept in memory; with more, all of them lie in a temporary file."""


class Leg(NamedTuple):
    """Frames that are followed one after the other.

    Attributes:
        numbers: of the frames, in their order.
        begins: whether nothing is remembered of a frame before.
        remembers: whether each frame is remembered for the next one.
        keeps: whether the scores are kept for the way back.
    """

    numbers: range
    begins: bool = True
    remembers: bool = True
    keeps: bool = False


def plan_legs(annotated: list[int], frames: range, direction: str) -> list[Leg]:
    """The legs of a way.

    Args:
        annotated: numbers of the annotated frames, ascending; one at least.
        frames: numbers of those that are asked for, ascending.
        direction: one of `DIRECTIONS`.
    """
    first, last = frames.start, frames.stop - 1
    ahead = max((each for each in annotated if each <= first), default=annotated[0])
    back = min((each for each in annotated if each >= last), default=annotated[-1])
    match direction:
        case "forward":
            legs = [Leg(range(first, min(ahead, frames.stop)), remembers=False), Leg(range(ahead, frames.stop))]
        case "backward":
            legs = [
                Leg(range(last, max(back, first - 1), -1), remembers=False),
                Leg(range(back, first - 1, -1)),
            ]
        case _:
            legs = [
                Leg(range(ahead, min(back, last) + 1), keeps=True),
                Leg(range(back, first - 1, -1)),
                Leg(range(back + 1, frames.stop), begins=False),
            ]
    return [leg for leg in legs if leg.numbers]


def follow_legs(
    legs: list[Leg], score: Score, annotated: list[int], frames: range, state: ClipState
) -> Iterator[tuple[int, Float[Array, "t k n m"] | None]]:
    """Yields the number of each frame as it is followed, and its scores where they are complete and asked for.

    Args:
        legs: of `plan_legs`.
        score: of a frame.
        annotated: as for `plan_legs`.
        frames: as for `plan_legs`.
        state: what is remembered at first: nothing but the annotated frames.
    """
    nothing = jax.tree.map(jnp.zeros_like, state.previous)
    onward = state
    with _Kept() as kept:
        for leg in legs:
            state = state._replace(previous=nothing) if leg.begins else onward
            for number in leg.numbers:
                scores, after = score(number, state)
                state = after if leg.remembers else state
                if leg.keeps:
                    onward = state
                if number not in frames:
                    yield number, None
                elif leg.keeps:
                    kept.put(number, scores)
                    yield number, None
                elif number in kept:
                    yield number, join_ways(kept.take(number), scores, number, annotated)
                else:
                    yield number, scores


class _Kept:
    """Scores by number, in a file that grows beyond memory."""

    def __init__(self):
        self._places: dict[int, int] = {}
        self._like: tuple | None = None

    def __enter__(self):
        self._file = tempfile.SpooledTemporaryFile(SPOOLED)
        return self

    def __exit__(self, *exception):
        self._file.close()

    def __contains__(self, number: int) -> bool:
        return number in self._places

    def put(self, number: int, scores) -> None:
        scores = np.asarray(scores)
        self._like = scores.dtype, scores.shape
        try:
            self._file.seek(0, 2)
            self._places[number] = self._file.tell()
            self._file.write(scores.tobytes())
        except OSError as error:
            raise ValueError(
                f"the scores of frames cannot be kept in a temporary file: {error.strerror}; TMPDIR says where it lies"
            ) from None

    def take(self, number: int):
        dtype, shape = self._like
        self._file.seek(self._places[number])
        raw = self._file.read(int(np.prod(shape)) * dtype.itemsize)
        return jnp.asarray(np.frombuffer(raw, dtype).reshape(shape))
