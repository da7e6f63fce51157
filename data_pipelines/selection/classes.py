"""Which classes may be tasks: the folds of PASCAL-5i and COCO-20i, or classes by name."""

import difflib
import logging
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines.datasets.coco import CLASSES as COCO
from data_pipelines.datasets.record import DatasetError
from data_pipelines.datasets.voc import CLASSES as VOC
from data_pipelines.streams import Stream, generator
from data_pipelines.tasks import Tasks, select_tasks

logger = logging.getLogger(__name__)

FOLDS = 4

_SAME = {"airplane": "aeroplane", "motorcycle": "motorbike", "couch": "sofa", "tv": "tvmonitor"}
_EXAMPLE = "all, fold:0, not fold:0, or dog, cat"


class ClassChoice(NamedTuple):
    """A choice of classes, which means the same in every data set.

    Attributes:
        words: names and folds, as written; empty for all classes.
        excluded: whether the words are what is left out.
    """

    words: tuple[str, ...]
    excluded: bool


def parse_classes(text: str) -> ClassChoice:
    """Reads a choice of classes: nothing or `all`, or comma-separated words; `not WORDS` means all the others.

    A word is the name of a class or a fold:

    - `fold:K`: PASCAL-5i's fold K of 0 to 3, the VOC classes 5K+1 to 5K+5 (Shaban et al., BMVC 2017). A model of
      fold 0 is trained on `not fold:0` and evaluated on `fold:0`.
    - `coco-fold:K`: COCO-20i's fold K, the classes 4v+K+1 of COCO (interleaved, as HSNet and PFENet have it).
    - `coco-block:K`: the other split of that name, 20 consecutive classes 20K+1 to 20K+20 (as PANet has it).

    Raises:
        ValueError: what is wrong, and what could be written.
    """
    text = text.strip()
    excluded = text.startswith("not ")
    words = tuple(word.strip() for word in text.removeprefix("not ").split(","))
    if words in (("",), ("all",)):
        if excluded:
            raise ValueError(f"classes {text!r} leave nothing; write for example {_EXAMPLE}")
        return ClassChoice((), False)
    if "" in words or "all" in words:
        raise ValueError(f"classes {text!r}: {'all' if 'all' in words else 'nothing'} is no word beside others")
    for word in words:
        _names(word)
    return ClassChoice(words, excluded)


def names_fold(choice: ClassChoice) -> bool:
    """Whether a choice names a fold, and so says which classes are new to a model."""
    return any(":" in word for word in choice.words)


def canonical(name: str) -> str:
    """One spelling of a class for all data sets: COCO's `dining table` and `airplane` are VOC's `diningtable`, ..."""
    plain = re.sub(r"[\W_]+", "", name.lower())
    return _SAME.get(plain, plain)


def choose_classes(choice: ClassChoice, class_names: Sequence[str]) -> frozenset[int]:
    """Which classes of a data set a choice takes, as ids from 1."""
    named = {canonical(name) for word in choice.words for name in _names(word)}
    return frozenset(
        number
        for number, name in enumerate(class_names, start=1)
        if not choice.words or (canonical(name) in named) != choice.excluded
    )


def check_words(choice: ClassChoice, class_names: Iterable[str]) -> None:
    """Raises a DatasetError where a word of a choice means no class of the data sets at hand.

    Args:
        choice: what was asked for.
        class_names: of all data sets at hand.
    """
    known = {canonical(name): name for name in class_names}
    for word in choice.words:
        if not any(canonical(name) in known for name in _names(word)):
            near = difflib.get_close_matches(canonical(word), known, n=1)
            hint = f"; did you mean {known[near[0]]!r}?" if near else ""
            raise DatasetError(f"no class is called {word!r}{hint}; there are: {', '.join(known.values())}")


def select_classes(tasks: Tasks, classes: frozenset[int]) -> Tasks:
    """The tasks of some classes. The pixels of the others stay in their images, as negatives."""
    return select_tasks(tasks, np.isin(tasks.class_id, sorted(classes)))


def balance_classes(tasks: Tasks, seed: int) -> Tasks:
    """Leaves of every class as many tasks as the rarest one has, drawn once by the seed.

    The reference does so for training with a fold held out (`class_balance.py`).
    """
    classes, counts = np.unique(tasks.class_id, return_counts=True)
    least = int(counts.min())
    kept = []
    for class_id in classes.tolist():
        rows = np.flatnonzero(tasks.class_id == class_id)
        kept.append(generator(seed, Stream.BALANCE, class_id).permutation(rows)[:least])
    return select_tasks(tasks, np.sort(np.concatenate(kept)).astype(np.int32))


def images_by_class(tasks: Tasks) -> dict[int, int]:
    """The number of images that pose tasks of each class."""
    pairs = np.unique(np.stack([tasks.class_id, tasks.record]), axis=1)
    classes, counts = np.unique(pairs[0], return_counts=True)
    return dict(zip(classes.tolist(), counts.tolist(), strict=True))


def _names(word: str) -> tuple[str, ...]:
    """The names of the classes that a word means."""
    kind, colon, number = word.partition(":")
    if not colon:
        return (word,)
    if kind not in ("fold", "coco-fold", "coco-block") or number not in map(str, range(FOLDS)):
        raise ValueError(
            f"classes: {word!r} is no fold; there are fold:K (PASCAL-5i), coco-fold:K (COCO-20i, interleaved) and "
            "coco-block:K (COCO-20i, consecutive), K from 0 to 3"
        )
    k = int(number)
    if kind == "fold":
        return VOC[5 * k : 5 * k + 5]
    return COCO[k::FOLDS] if kind == "coco-fold" else COCO[20 * k : 20 * k + 20]
