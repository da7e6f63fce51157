"""A session that annotated images guide, on canvases for the images that it is to segment."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.runs.load import Trained
from experiments.segmenting.annotation_files import annotations_of
from experiments.segmenting.shapes import Size
from experiments.segmenting.supports import Support
from guided_jax.model_config import check_mode, geometry_of
from guided_jax.session import Session
from guided_jax.session.annotation_file import to_json
from guided_jax.session.guidance_file import fingerprint
from guided_jax.session.scaling import shown_size

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


def check_sizes(trained: Trained, sizes: dict[str, Size], max_side: int) -> None:
    """Raises ValueError where an image, of those by name, is too small for the grid of a model."""
    least = geometry_of(trained.config.model).minimum_size
    for name, size in sizes.items():
        if min(shown := shown_size(size, max_side)) < least:
            seen = "" if shown == size else f", and {shown[0]}x{shown[1]} at --max_side={max_side}"
            raise ValueError(
                f"{name}: is {size[0]}x{size[1]} pixels (height x width){seen}; the model's grid needs sides of {least}"
            )


def open_session(
    trained: Trained, supports: Sequence[Support], sizes: Iterable[Size], *, max_side: int, guided_filter: bool
) -> Session:
    """A session in which the annotated images lie under their resolved paths.

    Args:
        trained: the model.
        supports: annotated images.
        sizes: of the images that are to be segmented.
        max_side: see `Session`.
        guided_filter: see `Session`.

    Raises:
        ValueError: the model takes no so many objects.
    """
    shown = [shown_size(size, max_side) for size in (*sizes, *(support.image.shape[:2] for support in supports))]
    session = Session(trained, canvases=choose_canvases(shown), max_side=max_side, guided_filter=guided_filter)
    for support in supports:
        if (name := name_of(support)) not in session.names:
            session.add(name, support.image)
        session.load_annotations(annotations_of(name, support.image.shape[:2], support.marked))
    return session


def name_of(support: Support) -> str:
    """The name of an annotated image in the session."""
    return str(support.path.resolve())


def made_with(
    trained: Trained, supports: Sequence[Support], bases: Iterable[Path], *, max_side: int, guided_filter: bool
) -> dict[str, Any]:
    """All that masks depend on beside their image, as JSON; folders as digests, since files are passed on.

    Args:
        trained: the model.
        supports: annotated images.
        bases: folders that the names of the outputs are relative to.
        max_side: see `Session`.
        guided_filter: see `Session`.
    """
    folders = json.dumps(sorted(str(base.resolve()) for base in bases))
    return {
        "model": fingerprint(trained.model, trained.params),
        "annotation": _digest(supports),
        "query": hashlib.sha256(folders.encode(errors="surrogateescape")).hexdigest(),
        "max_side": max_side,
        "guided_filter": guided_filter,
    }


def _digest(supports: Sequence[Support]) -> str:
    """What tells annotated images from any others: of their pixels and marks, in their order, not of their names."""
    found = hashlib.sha256()
    for support in supports:
        annotations = annotations_of("image", support.image.shape[:2], support.marked)
        found.update(json.dumps(to_json(annotations), sort_keys=True).encode())
        found.update(support.image.tobytes())
    return found.hexdigest()
