"""Whether the classes of an evaluation are new to the model, as a fold promises."""

import logging
from collections.abc import Sequence

from data_pipelines.selection.classes import canonical, names_fold, parse_classes
from experiments.runs.data import OpenSource, task_classes
from experiments.settings.config import Config

logger = logging.getLogger(__name__)


def trained_classes(config: Config, sources: Sequence[OpenSource]) -> list[str] | None:
    """The classes that training poses tasks of; None where a source has none, so that anything may be in it.

    None, too, of a training that starts from another model, which may have learnt any.

    Args:
        config: of the run.
        sources: of its training.
    """
    if config.start_from:
        return None
    if config.train.steps == 0:
        return []
    if not all(each.split.class_names for each in sources):
        return None
    return list(dict.fromkeys(name for each in sources for name in task_classes(each)))


def seen_classes(trained: Sequence[str] | None, evaluated: Sequence[str]) -> list[str] | None:
    """Which of the evaluated classes a model was trained on, however its data sets spell them; None: unknown."""
    if trained is None:
        return None
    known = {canonical(name) for name in trained}
    return [name for name in evaluated if canonical(name) in known]


def check_unseen(trained: Sequence[str] | None, evaluated: Sequence[str], force: bool) -> list[str] | None:
    """Refuses to evaluate a model on a fold whose classes it was trained on, or may have been.

    Args:
        trained: classes that the model was trained on; None: unknown.
        evaluated: classes of the fold.
        force: evaluates all the same, with a warning.

    Returns:
        As `seen_classes`.

    Raises:
        ValueError: naming the classes, and the ways out.
    """
    seen = seen_classes(trained, evaluated)
    if seen == []:
        return seen
    reason = f"the model was trained on {', '.join(seen or ())}"
    if seen is None:
        reason = "it is not known which classes the model was trained on"
    if force:
        logger.warning("eval.force_seen: %s; this is no evaluation on unseen classes", reason)
        return seen
    raise ValueError(
        f"eval.classes names a fold, whose classes must be new to the model, but {reason}; train with the fold held "
        "out (data.classes='not fold:K'), name the classes one by one, or set eval.force_seen, which marks the result"
    )


def check_evaluation(config: Config, opened: OpenSource, trained: Sequence[str] | None) -> list[str] | None:
    """`check_unseen` where `eval.classes` names a fold, else `seen_classes`."""
    choice = parse_classes(config.eval.classes)
    if names_fold(choice) and not choice.excluded:
        return check_unseen(trained, task_classes(opened), config.eval.force_seen)
    return seen_classes(trained, task_classes(opened))
