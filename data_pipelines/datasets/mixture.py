"""A mixture of data sets as a line of text: which data, in which proportion, and how they are to be read."""

import difflib
import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from data_pipelines.datasets.reading.masks import READINGS
from data_pipelines.datasets.reading.orientation import CHOICES
from data_pipelines.datasets.record import DatasetError

UNITS = ("class", "instance")
EXAMPLE = "voc:trainaug:class*2, coco:train2017:instance, folder@ECSSD:all"
GRAMMAR = re.compile(
    r"""(?P<dataset>[\w-]+) (@(?P<path>"[^"]*" | '[^']*' | [^:,*@\[\]"']+))?
        (:(?P<split>[\w-]+ (\[[^\[\]]*\])?))?
        (:(?P<unit>[\w-]+))?
        (?P<options>(:\w+=[\w-]+)*)
        (\*(?P<weight>[^:*@]+))?""",
    re.VERBOSE,
)


class Dataset(NamedTuple):
    """A kind of data set: its builder, where its files are by default (empty: nowhere), its default unit."""

    module: str
    builder: str
    path: str
    unit: str


DATASETS = {
    "voc": Dataset("voc", "PascalVoc", "VOCdevkit/VOC2012", "class"),
    "sbd": Dataset("sbd", "Sbd", "benchmark_RELEASE", "class"),
    "coco": Dataset("coco", "CocoInstances", "coco", "instance"),
    "davis": Dataset("davis", "Davis", "DAVIS", "instance"),
    "folder": Dataset("folder", "ImageFolder", "", "instance"),
    "frames": Dataset("folder", "FrameFolder", "", "instance"),
    "generated": Dataset("generated", "Generated", "", "instance"),
}
NEED_PATH = ("folder", "frames")
FORM = "NAME[@PATH]:SPLIT[:UNIT][:OPTION=VALUE][*WEIGHT]"
SEPARATORS = re.compile(r""",(?=(?:[^"']|"[^"]*"|'[^']*')*$)""")
"""The commas that are in no quotes."""
QUOTING = "; quote a path with any of ,:*@[] in it, as folder@'a, b':all"
OPTIONS = {"masks": READINGS, "exif": CHOICES}
"""Of folder and frames, with their values."""


@dataclass(frozen=True)
class Source:
    """One data set of a mixture.

    Attributes:
        dataset: a name in `DATASETS`.
        path: of the original files, relative to the root; empty for generated data.
        split: its name, with a tfds slice if one was given: `train[:50%]`.
        unit: what a task is: 'class' (all of a class in an image) or 'instance'.
        weight: share of the mixture, relative to the other sources' weights.
        options: names and values, by name.
    """

    dataset: str
    path: str
    split: str
    unit: str
    weight: float
    options: tuple[tuple[str, str], ...] = ()


def parse_sources(text: str) -> tuple[Source, ...]:
    """Reads a mixture: comma-separated `NAME[@PATH]:SPLIT[:UNIT][:OPTION=VALUE][*WEIGHT]`.

    NAME is one of voc, sbd, coco, davis, folder (images), frames (clips), generated. PATH, where the files are, is
    relative to the root of the data (absolute is allowed), by default the data set's usual folder. SPLIT may carry a
    slice, `train[:50%]`. UNIT is class (default for voc and sbd) or instance (for all others). WEIGHT is 1 by
    default. Example: `voc:trainaug:class*2, coco:train2017:instance, folder@ECSSD:all`.

    A PATH that holds any of `,:*@[]` is quoted: `folder@"a, b":all`. Options of folder and frames: `masks` (object,
    labels or alpha, see `masks.survey`) and `exif` (upright or stored, see `orientation.survey_orientation`).

    Raises:
        DatasetError: what is wrong, and how it is written.
    """
    parts = [part.strip() for part in SEPARATORS.split(text)]
    if not any(parts):
        raise DatasetError(f"no data set is named; write for example {EXAMPLE}")
    return tuple(_parse_source(part) for part in parts)


def _parse_source(part: str) -> Source:
    found = GRAMMAR.fullmatch(part)
    quoting = QUOTING if "@" in part else ""
    if found is None:
        raise DatasetError(f"{part!r} is not {FORM}; write for example {EXAMPLE}{quoting}")
    name, path, split, unit, weight = found.group("dataset", "path", "split", "unit", "weight")
    path = path and (path[1:-1] if path[0] in "\"'" else path.strip())
    if name not in DATASETS:
        near = difflib.get_close_matches(name.lower(), DATASETS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DatasetError(f"no data set is called {name!r}; {hint}There are: {', '.join(DATASETS)}")
    if split is None:
        raise DatasetError(f"{part!r} names no split; write for example {EXAMPLE}")
    if path is None and name in NEED_PATH:
        raise DatasetError(f"{part!r} does not say where the files are; write {name}@PATH:{split}")
    unit = unit or DATASETS[name].unit
    if unit not in UNITS:
        raise DatasetError(f"{part!r}: the unit is {unit!r}, but must be 'class' or 'instance'{quoting}")
    options = _parse_options(found["options"], name, part)
    return Source(name, path or DATASETS[name].path, split, unit, _parse_weight(weight, part), options)


def _parse_options(text: str, dataset: str, part: str) -> tuple[tuple[str, str], ...]:
    options = [tuple(word.split("=")) for word in text.split(":")[1:]]
    if options and dataset not in NEED_PATH:
        raise DatasetError(f"{part!r}: options are for {' and '.join(NEED_PATH)}; {dataset} has none")
    for name, value in options:
        if value not in OPTIONS.get(name, ()):
            known = ", ".join(f"{each}={'|'.join(values)}" for each, values in OPTIONS.items())
            raise DatasetError(f"{part!r}: there is no option {name}={value}; there are {known}")
    if len(dict(options)) < len(options):
        raise DatasetError(f"{part!r} has an option twice")
    return tuple(sorted(options))


def quote_path(path: str) -> str:
    """A path as it is written in a source."""
    if not re.search(r"[:,*@\[\]\"']", path):
        return path
    return f"'{path}'" if '"' in path else f'"{path}"'


def _parse_weight(text: str | None, part: str) -> float:
    try:
        weight = 1.0 if text is None else float(text)
    except ValueError:
        weight = math.nan
    if not (weight > 0 and math.isfinite(weight)):
        raise DatasetError(f"{part!r}: the weight is {text!r}, but must be a positive number, as in voc:train*2")
    return weight
