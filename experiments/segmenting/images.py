"""Segmenting images one after the other, and the files of each."""

import logging
from collections.abc import Callable, Sequence

from data_pipelines.datasets.reading.images import read_upright, upright_size
from data_pipelines.datasets.record import DatasetError
from experiments.segmenting.outputs import Segmented, file_of, write
from experiments.segmenting.plan import Plan, are_done
from experiments.segmenting.queries import Query
from experiments.segmenting.shapes import Size
from guided_jax.session import Session

logger = logging.getLogger(__name__)


def is_done(query: Query, plan: Plan) -> bool:
    """Whether all files of an image are there, and none of them is older than the image."""
    return are_done([file_of(plan.out, kind, query.name) for kind in plan.of_images], query.path)


def measure(queries: Sequence[Query], plan: Plan) -> dict[Query, Size]:
    """Height and width of images, from their headers; without those that are broken, where they are to be left out.

    Raises:
        DatasetError: a file is no image.
    """
    sizes = {}
    for query in queries:
        try:
            sizes[query] = upright_size(query.path)
        except DatasetError as error:
            _pass_over(error, plan)
    return sizes


def segment_images(session: Session, queries: Sequence[Query], plan: Plan, advance: Callable[[], object]) -> int:
    """Segments images and writes their files; gives how many.

    An annotated image that is among them is segmented with what the model knows of the places of its marks.

    Args:
        session: that annotated images guide, under their resolved paths.
        queries: the images.
        plan: what is to be done.
        advance: is called after each image.

    Raises:
        DatasetError: an image is broken, and not to be left out.
    """
    done, annotated = 0, session.names
    for query in queries:
        try:
            image = read_upright(query.path)
        except DatasetError as error:
            _pass_over(error, plan)
            continue
        name = str(query.path.resolve())
        if name not in annotated:
            session.add(name, image)
        labels = session.mask(name)
        probabilities = session.probabilities(name) if "coco" in plan.formats else None
        if name not in annotated:
            session.remove(name)
        file_name = f"{query.name}{query.path.suffix}"
        write(plan.out, plan.of_images, Segmented(query.name, file_name, image, labels, probabilities))
        done += 1
        advance()
    return done


def _pass_over(error: DatasetError, plan: Plan) -> None:
    if not plan.skip_broken:
        raise DatasetError(f"{error} (--skip_broken leaves such images out)") from error
    logger.warning("left out: %s", error)
