"""A session that annotated images guide, on canvases for the images that it is to segment."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.runs.load import Trained
from experiments.segmenting.annotation_files import annotations_of
from experiments.segmenting.clips import OpenClip
from experiments.segmenting.shapes import Size
from experiments.segmenting.supports import Support
from guided_jax.model_checks import check_mode
from guided_jax.model_config import geometry_of
from guided_jax.session import Session
from guided_jax.session.annotation_file import to_json
from guided_jax.session.guidance_file import fingerprint
from guided_jax.session.scaling import shown_size
from guided_jax.video.completing import follower_of

SLACK = 1.25
"""An image lies on a canvas of at most so many times its pixels: less of them are computed, and more is compiled."""


def default_side(trained: Trained) -> int:
    """The greatest side at which images are looked at: what the model says of itself, else that of its training."""
    return trained.about.get("max_side", trained.config.data.max_side)


def check_model(trained: Trained) -> None:
    """Raises ValueError where a model segments the annotated image alone."""
    check_mode(trained.config.model, "semantic", "mode")


def choose_canvases(sizes: Iterable[Size]) -> tuple[Size, ...]:
    """As few canvases as hold images of some sizes without much waste; each is the size of one of them."""
    canvases = []
    for size in sorted(set(sizes), key=lambda size: (-size[0] * size[1], size)):
        if not any(_holds(canvas, size) for canvas in canvases):
            canvases.append(size)
    return tuple(canvases)


def _holds(canvas: Size, size: Size) -> bool:
    fits = canvas[0] >= size[0] and canvas[1] >= size[1]
    return fits and canvas[0] * canvas[1] <= SLACK * size[0] * size[1]


def check_sizes(trained: Trained, sizes: Mapping[Path, Size], max_side: int) -> None:
    """Raises ValueError where one of some images or clips is too small for the grid of a model."""
    least = geometry_of(trained.config.model).minimum_size
    for path, size in sizes.items():
        if min(shown := shown_size(size, max_side)) < least:
            seen = "" if shown == size else f", and {shown[0]}x{shown[1]} at --max_side={max_side}"
            raise ValueError(
                f"{path}: is {size[0]}x{size[1]} pixels (height x width){seen}; the model's grid needs sides of {least}"
            )


def open_session(
    trained: Trained, supports: Sequence[Support], sizes: Iterable[Size], *, max_side: int, guided_filter: bool
) -> Session:
    """A session on canvases for annotated images and those that are to be segmented; it holds none of them yet.

    Args:
        trained: the model.
        supports: annotated images.
        sizes: of the images that are to be segmented.
        max_side: see `Session`.
        guided_filter: see `Session`.
    """
    shown = [shown_size(size, max_side) for size in (*sizes, *(support.image.shape[:2] for support in supports))]
    return Session(trained, canvases=choose_canvases(shown), max_side=max_side, guided_filter=guided_filter)


def guide(opened: Session, supports: Sequence[Support], clip: OpenClip | None = None) -> Session:
    """A fresh session that holds annotated images under their resolved paths, each encoded when it is first used.

    Args:
        opened: shares what is compiled.
        supports: annotated images. Their objects have the same labels in every session.
        clip: that the session holds, too, under its name; annotated frames of it are annotated there alone.

    Raises:
        ValueError: the model does not take so many objects.
    """
    session = opened.fresh()
    frames = session.add_clip(clip.query.name, clip.frames) if clip else ()
    for support in supports:
        name = support.frame if support.frame in frames else str(support.path.resolve())
        if name not in session.names:
            session.add(name, lambda image=support.image: image)
        session.load_annotations(annotations_of(name, support.image.shape[:2], support.marked))
    return session


def can_follow(trained: Trained) -> bool:
    """Whether the guidance of a model can follow a clip."""
    return follower_of(trained.model, trained.params) is not None


def made_with(
    trained: Trained, supports: Sequence[Support], bases: Iterable[Path], **options: bool | int
) -> dict[str, Any]:
    """All that masks depend on beside their image, as JSON; folders as digests, since files are passed on.

    Args:
        trained: the model.
        supports: annotated images.
        bases: folders that the names of the outputs are relative to.
        options: that masks depend on.
    """
    folders = json.dumps(sorted(str(base.resolve()) for base in bases))
    return {
        "model": fingerprint(trained.model, trained.params),
        "annotation": _digest(supports),
        "query": hashlib.sha256(folders.encode(errors="surrogateescape")).hexdigest(),
        **options,
    }


def _digest(supports: Sequence[Support]) -> str:
    """What tells annotated images from any others: of their pixels and marks, in their order, not of their names."""
    found = hashlib.sha256()
    for support in supports:
        annotations = annotations_of("image", support.image.shape[:2], support.marked)
        found.update(json.dumps(to_json(annotations), sort_keys=True).encode())
        found.update(support.image.tobytes())
    return found.hexdigest()
