"""Result files: where they lie, which kind they are of, and what is no result at all."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.reports.shapes import RESULTS, check_result
from experiments.settings.errors import UserError
from experiments.settings.json_files import read_json

NO_RESULTS = ("config.json", "run.json", "index.json", "measured.json")


class Found(NamedTuple):
    """A result.

    Attributes:
        path: of its file.
        kind: evaluation, sweep, video, clicks or interactive-video.
        result: what it holds.
    """

    path: Path
    kind: str
    result: dict[str, Any]

    @property
    def name(self) -> str:
        """Of the experiment, or of the folder."""
        return str(self.result.get("name") or self.path.resolve().parent.name)


def kind_of(result: Any) -> str | None:
    """The kind of a result by what it holds; None where it is none."""
    if not isinstance(result, dict):
        return None
    if isinstance(result.get("variants"), list) and "missing" in result:
        return "sweep"
    if isinstance(result.get("results"), dict) and "points_per_label" in result:
        return "quickstart"
    protocol, scores = result.get("protocol"), result.get("scores")
    if not isinstance(protocol, dict) or not isinstance(scores, dict) or not scores:
        return None
    tasks = {"video objects": "video", "clicks": "clicks", "interactive video": "interactive-video"}
    if (task := protocol.get("task")) is not None:
        return tasks.get(task)
    every = all(isinstance(each, dict) and {"pos_iu", "class_mean"} <= each.keys() for each in scores.values())
    return "evaluation" if every and {"data", "tasks"} <= protocol.keys() else None


def group_by_protocol(found: Sequence[Found], names: Sequence[str]) -> list[list[Found]]:
    """The results that may stand side by side: those whose protocols have the same values under the names."""
    groups: dict[str, list[Found]] = {}
    for each in found:
        groups.setdefault(repr([each.result["protocol"].get(name) for name in names]), []).append(each)
    return list(groups.values())


def find_results(run: Path) -> list[Found]:
    """The results of a run's folder, or of a single file.

    Raises:
        UserError: there is none, a file cannot be read, or a result lacks what its kind has.
    """
    if run.is_file():
        found = _open(run)
        if not found:
            raise UserError(f"{run}: is no result that a report can be made of")
        return found
    if not run.is_dir():
        raise UserError(f"{run}: no such folder or file")
    files = [path for path in sorted(run.glob("*.json")) if path.name not in NO_RESULTS]
    found = [each for path in files for each in _open(path)]
    if not found and (run / "config.json").is_file():
        raise UserError(f"{run}: the run has no result yet; go on with it, or score it with --mode=eval")
    if not found:
        raise UserError(f"{run}: is no run: it holds no result (result.json, table.json, clicks-*.json, video-*.json)")
    return found


def find_all(runs: Sequence[Path]) -> list[Found]:
    """The results of several runs; a file that is named twice counts once.

    Raises:
        UserError: as `find_results`.
    """
    found = [each for run in runs for each in find_results(run)]
    return list({(each.path.resolve(), each.name): each for each in found}.values())


def _open(path: Path) -> list[Found]:
    result = read_json(path)
    kind = kind_of(result)
    if kind == "quickstart":
        # Each of its networks is a run of its own, which knows its tasks and its checkpoint.
        runs = {name: path.parent / name / "result.json" for name in result["results"]}
        return [
            _checked(runs[name], "evaluation", read_json(runs[name]) if runs[name].is_file() else each)
            for name, each in result["results"].items()
            if kind_of(each) == "evaluation"
        ]
    return [_checked(path, kind, result)] if kind else []


def _checked(path: Path, kind: str, result: dict[str, Any]) -> Found:
    check_result(path, result, RESULTS[kind])
    return Found(path, kind, result)
