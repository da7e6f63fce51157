"""Evaluations put together: the seeds of one configuration, and the series that one protocol compares."""

import json
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any, NamedTuple

from experiments.evaluation.spread import Spread, spread
from experiments.reports.found import Found
from experiments.runs.workdir import FREE, FREE_IN_EVAL
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import flatten, read_stored, to_dict
from experiments.settings.json_files import read_json
from guided_jax.stored_config import FieldError

COMPARED = (
    "data",
    "data_version",
    "mode",
    "classes",
    "chosen_classes",
    "left_out_classes",
    "lists",
    "episodes",
    "tasks",
    "tasks_of_data",
    "limit",
    "max_side",
    "min_area",
    "void",
)
"""Entries of a protocol that make results comparable. Shots, points, draws and seeds are what is compared."""


class Series(NamedTuple):
    """The results of one configuration and protocol, a seed each.

    Attributes:
        label: what tells it from the others of its section.
        found: its results; one, or one a seed.
    """

    label: str
    found: tuple[Found, ...]

    @property
    def first(self) -> dict[str, Any]:
        """The result of the first seed."""
        return self.found[0].result

    @property
    def protocol(self) -> dict[str, Any]:
        """Of the first seed."""
        return self.first["protocol"]

    @property
    def points(self) -> list[str]:
        """The numbers of points that all seeds have, by name."""
        return [name for name in self.first["scores"] if all(name in each.result["scores"] for each in self.found)]

    def scores(self, points: str, name: str) -> Spread:
        """`pos_iu` or `class_mean`: mean and deviation over the seeds; of a single one, over its draws."""
        entries = [each.result["scores"][points] for each in self.found]
        found = spread([entry[name] for entry in entries])
        if len(entries) == 1 and (deviation := entries[0].get("deviation")):
            return found._replace(deviation=deviation[name])
        return found

    @property
    def over(self) -> str:
        """What deviations are over."""
        draws = self.protocol.get("draws", 1)
        if len(self.found) > 1:
            return f"{len(self.found)} seeds" + (f", {draws} draws each" if draws > 1 else "")
        return f"{draws} draws" if draws > 1 else "one run"


def join_seeds(found: Sequence[Found]) -> list[Series]:
    """Puts results together that differ in nothing but their seeds; labels are the experiments' names."""
    groups: dict[str, list[Found]] = {}
    for each in found:
        groups.setdefault(_identity(each), []).append(each)
    series = []
    for members in groups.values():
        seeds = [each.result["protocol"].get("seed") for each in members]
        if len(set(seeds)) < len(seeds):  # the same run twice, or runs that this code cannot tell apart
            series += [Series(each.name, (each,)) for each in members]
        else:
            series.append(Series(members[0].name, tuple(members)))
    return series


def _identity(found: Found) -> str:
    protocol = {name: value for name, value in found.result["protocol"].items() if not name.endswith("seed")}
    try:
        config = config_of(found)
    except UserError:  # of another version; what it shares with others cannot be told, so it is a series of its own
        config = None
    kept = {} if config is None else flatten(to_dict(config))
    free = (*FREE, *FREE_IN_EVAL)
    kept = {name: value for name, value in kept.items() if not any(fnmatch(name, pattern) for pattern in free)}
    trained_on = found.result.get("about", {}).get("trained_on")
    folder = None if config is not None else str(found.path)
    return json.dumps([protocol, kept, trained_on, found.name, folder], sort_keys=True)


def config_of(found: Found) -> Config | None:
    """The configuration that a result was made with; that of its workdir where it does not tell; None where unknown.

    Raises:
        UserError: it has fields that are unknown here.
    """
    values, where = found.result.get("about", {}).get("config"), found.path
    beside = found.path.parent / "config.json"
    if values is None and beside.is_file():
        values, where = read_json(beside), beside
    if not isinstance(values, dict):
        return None
    try:
        return read_stored(values, str(where))
    except FieldError as error:
        raise UserError(str(error)) from error


def split_by_protocol(series: Sequence[Series]) -> list[list[Series]]:
    """The series by what they can be compared with, in the order of the first of each."""
    groups: dict[str, list[Series]] = {}
    for each in series:
        compared = {name: value for name, value in each.protocol.items() if name in COMPARED}
        groups.setdefault(json.dumps(compared, sort_keys=True), []).append(each)
    return [_tell_apart(group) for group in groups.values()]


def _tell_apart(series: Sequence[Series]) -> list[Series]:
    """Adds to the labels what differs: shots, then data of the training, then the step, then the folder."""
    parts = [
        lambda each: f"{each.protocol.get('shots', 1)}-shot",
        lambda each: f"step {each.protocol.get('step')}",
        lambda each: str(each.found[0].path.parent.name),
        lambda each: each.found[0].path.stem,
        lambda each: str(each.found[0].path),
    ]
    labelled = list(series)
    for number, part in enumerate(parts):
        values = [part(each) for each in series]
        labels = [each.label for each in labelled]
        alike = len(set(labels)) < len(labels)
        if len(set(values)) > 1 and (alike or number == 0):
            labelled = [
                each._replace(label=f"{each.label}, {value}") if number == 0 or labels.count(each.label) > 1 else each
                for each, value in zip(labelled, values, strict=True)
            ]
    return labelled


def pool_shots(series: Sequence[Series]) -> dict[str, list[Series]]:
    """By name, the series of one model that differ in their shots, by rising shots; none where there is one alone."""
    groups: dict[str, list[Series]] = {}
    for each in series:
        groups.setdefault(each.found[0].name, []).append(each)
    chosen = {}
    for name, members in groups.items():
        shots = [each.protocol.get("shots", 1) for each in members]
        if len(set(shots)) == len(shots) > 1:
            chosen[name] = sorted(members, key=lambda each: each.protocol.get("shots", 1))
    return chosen
