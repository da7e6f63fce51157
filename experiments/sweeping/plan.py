"""The runs of a sweep: variants of experiments times seeds, their folders, and who runs which."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

from data_pipelines.points import name_count, parse_counts
from experiments.runs.workdir import bound_fields, refuse_other_config
from experiments.settings.checks import LONGEST_NAME, check_config
from experiments.settings.command_flags import override
from experiments.settings.config import Config
from experiments.settings.config_files import call_module, load_config, load_module
from experiments.settings.errors import UserError
from experiments.settings.fields import FieldError, differences, nearest, read_stored, to_dict, with_overrides
from experiments.settings.json_files import read_json
from experiments.settings.ranges import MOST_TIMES
from experiments.settings.shapes import EACH, SCORE, find_fault

RESULT_SHAPE = {
    "protocol": {"step": (int, NoneType), "source": str, "mode": str, "limit": int},
    "scores": {EACH: {"pos_iu": SCORE}},
    "about": {"code": str},
}
"""What the plan and the table take of a run's result."""


class Variant(NamedTuple):
    """One configuration of a sweep.

    Attributes:
        name: of the variant, also of its folder.
        experiments: the files that have this variant.
        overrides: fields of their base that it changes, by dotted name.
        config: of the run with the first seed.
    """

    name: str
    experiments: tuple[str, ...]
    overrides: dict[str, Any]
    config: Config


class Run(NamedTuple):
    """One variant under one seed: an ordinary run.

    Attributes:
        variant: the variant.
        seed: of initialisation, training episodes, dropout, and points of the evaluation.
        config: with this seed.
        folder: its workdir.
    """

    variant: Variant
    seed: int
    config: Config
    folder: Path

    @property
    def name(self) -> str:
        """Variant and seed, as in the workdir."""
        return f"{self.variant.name}/{self.folder.name}"


def read_variants(arguments: Sequence[str], words: Sequence[str], known_flags: Sequence[str]) -> list[Variant]:
    """The variants of experiments, in their order; one that several ask for is there once.

    Args:
        arguments: `FILE.py` or `FILE.py:text`, as in `load_config`. A file has `get_config()`, the base, and
            `get_sweep()`, which yields (name, overrides by dotted name); both are given the text.
        words: of the command line, overriding every base before the variants do.
        known_flags: names of the program's flags, for messages.

    Raises:
        UserError: a file, a word or a variant is not sound, or two experiments mean other things by a name.
    """
    variants: dict[str, Variant] = {}
    for argument in arguments:
        base = override(load_config(argument), list(words), list(known_flags))
        module, text = load_module(argument)
        seen = set()
        for name, overrides in _pairs(call_module(module, "get_sweep", text, argument), argument):
            if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name) or len(name.encode()) > LONGEST_NAME or name in seen:
                raise UserError(
                    f"{argument}: a variant is called {name!r}; each needs a name of its own, fit for a folder"
                )
            seen.add(name)
            try:
                config = with_overrides(base, {"name": name, **overrides}, f"{argument}: variant {name}")
            except FieldError as error:
                raise UserError(str(error)) from error
            variant = Variant(name, (argument,), dict(overrides), config)
            variants[name] = _join(variants[name], variant) if name in variants else variant
    if not variants:
        raise UserError(f"{', '.join(arguments)}: no variant to run")
    return list(variants.values())


def _pairs(variants: Any, argument: str) -> list[tuple[str, dict[str, Any]]]:
    """Raises UserError where `get_sweep()` of a user's file does not give what it must."""
    expected = 'as {"train.steps": 100}'
    if not isinstance(variants, list | tuple):
        raise UserError(f"{argument}: get_sweep() gives {variants!r:.40}; it must yield (name, overrides), {expected}")
    for pair in variants:
        named = isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)
        if not named or not isinstance(pair[1], dict) or not all(isinstance(field, str) for field in pair[1]):
            raise UserError(f"{argument}: get_sweep() yields {pair!r:.60}; it must yield (name, overrides), {expected}")
    return list(variants)


def _join(before: Variant, now: Variant) -> Variant:
    if before.config != now.config:
        unlike = differences(to_dict(before.config), to_dict(now.config))
        raise UserError(
            f"variant {before.name}: {before.experiments[0]} and {now.experiments[0]} mean different things by it: "
            f"{'; '.join(unlike).replace('(workdir)', '(first)').replace('(now)', '(second)')}"
        )
    return before._replace(experiments=before.experiments + now.experiments)


def check_variants(variants: Sequence[Variant]) -> None:
    """Raises UserError with the variant's name and the reason where one makes no run."""
    for variant in variants:
        for field in ("save", "name"):
            if getattr(variant.config.eval, field):
                raise UserError(f"--config.eval.{field}: all runs of a sweep would write to it; leave it out")
        try:
            check_config(variant.config, training=True)
        except ValueError as error:
            raise UserError(f"variant {variant.name} of {variant.experiments[0]}: {error}") from error


def plan_runs(variants: Sequence[Variant], seeds: int, workdir: Path) -> list[Run]:
    """Every variant under the seeds s, s + 1, ... from the one of its configuration on.

    Raises:
        UserError: a folder holds a run of another configuration.
    """
    if seeds < 1:
        raise UserError(f"--seeds={seeds}: at least 1")
    if seeds > MOST_TIMES:
        raise UserError(f"--seeds={seeds}: at most {MOST_TIMES}")
    runs = []
    for variant in variants:
        for seed in range(variant.config.seed, variant.config.seed + seeds):
            folder = workdir / variant.name / f"seed-{seed}"
            runs.append(Run(variant, seed, with_overrides(variant.config, {"seed": seed}), folder))
    for run in runs:
        refuse_other_config(run.folder, run.config, "train_and_eval")
    return runs


def choose_runs(runs: Sequence[Run], only: str = "", part: str = "", unit: int = 0) -> list[Run]:
    """The runs of some variants, and of these the share of one of several jobs.

    The shares do not depend on what has been run, so that no two jobs meet in one.

    Args:
        runs: all.
        only: comma-separated names of variants; empty: all.
        part: `I/N`, the share I of N, counted from 1; empty: all.
        unit: the number of a run among all of them, counted from 1, to take it alone; 0: none.

    Raises:
        UserError: there is no such variant, part or unit.
    """
    if unit:
        if only or part:
            raise UserError(f"--unit={unit}: is a run by itself; leave out --only and --part")
        if unit > len(runs):
            raise UserError(f"--unit={unit}: there are {len(runs)} units")
        return [runs[unit - 1]]
    names = {run.variant.name: None for run in runs}
    wanted = [name.strip() for name in only.split(",") if name.strip()] or list(names)
    for name in wanted:
        if name not in names:
            raise UserError(f"--only={name}: no such variant{nearest(name, names)}; there are: {', '.join(names)}")
    chosen = [run for run in runs if run.variant.name in wanted]
    if not part:
        return chosen
    found = re.fullmatch(r"(\d+)/(\d+)", part)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UserError(f"--part={part}: expects I/N with I from 1 to N, as 1/4 for the first of four jobs")
    return chosen[int(found[1]) - 1 :: int(found[2])]


def read_result(run: Run) -> dict[str, Any] | None:
    """The result of a run that has ended; None where it has not, or was scored otherwise since.

    Raises:
        UserError: the file cannot be read, or is no result of a run.
    """
    file = run.folder / "result.json"
    if not file.exists():
        return None
    result = read_json(file)
    if fault := find_fault(result, RESULT_SHAPE):
        raise UserError(f"{file}: a result lacks what its kind has: {fault}; delete it, and it is made again")
    protocol, evaluation = result["protocol"], run.config.eval
    if (config := result["about"].get("config")) is not None:
        try:
            scored = to_dict(read_stored(config, str(file)))
        except FieldError as error:
            raise UserError(f"{error}; delete it, and it is made again") from error
        if bound_fields(scored, to_dict(run.config), "train_and_eval"):
            return None
    there = (protocol["step"], protocol["source"], protocol["mode"], protocol["limit"], list(result["scores"]))
    points = [name_count(count) for count in parse_counts(evaluation.points)]
    mode = evaluation.mode or run.config.data.mode
    return result if there == (run.config.train.steps, evaluation.source, mode, evaluation.limit, points) else None
