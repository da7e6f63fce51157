"""Runs the variants of experiments under several seeds, and makes one table of them.

guided_jax sweep --config=early_late[,experiments/other.py,...] --workdir=runs/early_late --launcher=local

Each variant under each seed is a unit, an ordinary run in `WORKDIR/VARIANT/seed-S`: resumed where it was interrupted,
skipped where it is done, has failed (unless `--retry`), or is being run by another process. So the same command may be
started several times at once, on several hosts that share the workdir too. Without `--launcher` the units are listed
with their numbers, and any launcher of yours takes one by `--unit`. The workdir gets `table.json` and `curve.png`, made
of the results that are there.
"""

import contextlib
import dataclasses
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
from absl import flags

from data_pipelines.canvas import parse_canvases
from experiments.benchmarks.click import measure_click
from experiments.experiment import run
from experiments.runs.workdir import environment
from experiments.settings.command_flags import (
    Answered,
    define_config,
    define_parallel,
    define_path,
    own_flags,
    read_flags,
    workdir_of,
)
from experiments.settings.command_line import start
from experiments.settings.config import Config
from experiments.settings.errors import OUT_OF_MEMORY, UserError, machine_fault
from experiments.settings.help_texts import Command
from experiments.settings.json_files import read_json, write_json
from experiments.settings.parameters import count_parameters
from experiments.settings.shapes import SCORE, find_fault
from experiments.sweeping.failures import read_failure, unit_log
from experiments.sweeping.launchers import Launch, define_launch, launch, read_launch
from experiments.sweeping.leases import Held, holding, owner_of
from experiments.sweeping.plan import Run, Variant, check_variants, choose_runs, plan_runs, read_result, read_variants
from experiments.sweeping.tables import make_table, plot_table, to_markdown
from guided_jax.learning.loop import NonFiniteLoss

COMMAND = Command(
    "guided_jax sweep",
    __doc__,
    fields="Another value for a field of every variant, but for what the variant itself sets, as "
    "--config.train.steps=600.",
)
MEASURED = "measured.json"
MEASURED_SHAPE = {
    "of": dict,
    "parameters": {"total": int, "learning": int},
    "click": {"update_ms": SCORE, "ratio": SCORE, "height": int, "width": int},
}


class PlannedSweep(NamedTuple):
    """The runs of a sweep, and those that this process does.

    Attributes:
        runs: all of the sweep.
        chosen: those of this process.
        workdir: of the sweep.
        parallel: pmap, jit or fsdp.
        retry: whether runs that have failed are run again.
        launch: how other processes shall do it; None: this one does.
    """

    runs: list[Run]
    chosen: list[Run]
    workdir: Path
    parallel: str
    retry: bool = False
    launch: Launch | None = None


def parse_sweep(argv: Sequence[str]) -> PlannedSweep:
    """Reads a command line and checks all that it asks for, before anything is run.

    Raises:
        UserError: the command line, an experiment or a variant is not what it should be.
    """
    values = own_flags()
    define_config(
        values,
        "The experiments, comma-separated, each with get_sweep() beside get_config(): early_late,prototypes, or "
        "early_late:interactive on real images. Of each:",
    )
    text = "`DIR` for the runs, table.json and curve.png; the same command again goes on with what is there."
    define_path(values, "workdir", None, text)
    text = "Number `N` of seeds of each variant, from the one of its configuration on."
    flags.DEFINE_integer("seeds", 3, text, flag_values=values)
    text = "Runs the variants `NAME,...` alone; the table is still of all."
    flags.DEFINE_string("only", "", text, flag_values=values)
    flags.DEFINE_string(
        "part",
        "",
        "Runs the share `I/N`, I counted from 1: start the command N times, in a Slurm array as "
        "--part=$SLURM_ARRAY_TASK_ID/N with --array=1-N and no --launcher; the last to end makes the whole table.",
        flag_values=values,
    )
    text = "Runs the unit `I` of the list alone, counted from 1: for a launcher of your own."
    flags.DEFINE_integer("unit", None, text, lower_bound=1, flag_values=values)
    flags.DEFINE_bool("retry", False, "Runs the units again that have failed.", flag_values=values)
    define_launch(values)
    define_parallel(values)
    _, overrides = read_flags(argv, values, COMMAND)
    if not values.config:
        raise UserError("--config=FILE.py is missing: one or several experiments, as early_late")
    arguments = [argument.strip() for argument in values.config.split(",")]
    variants = read_variants(arguments, overrides, list(values))
    listed = values.launcher == "none" and not values.part and not values.unit
    if listed and values.retry:
        raise UserError("--retry: runs nothing by itself; add --launcher=local, --unit=I or --part=I/N")
    workdir = Path(values.workdir or ".") if listed else workdir_of(values)
    runs = plan_runs(variants, values.seeds, workdir)
    chosen = choose_runs(runs, values.only, values.part, values.unit or 0)
    launch = read_launch(values, argv[1:])
    if listed:
        raise Answered(f"{describe(runs, chosen)}\n\n--launcher=local runs them here, --unit=I one of them alone")
    check_variants(variants)
    return PlannedSweep(runs, chosen, workdir, values.parallel, values.retry, launch)


def describe(runs: Sequence[Run], chosen: Sequence[Run]) -> str:
    """Every variant with its overrides, and its units with their numbers and states, for a terminal.

    Args:
        runs: all of the sweep, by which units are numbered.
        chosen: those to show.
    """
    numbers = {run.name: number for number, run in enumerate(runs, 1)}
    variants = {run.variant.name: run.variant for run in chosen}
    lines = []
    for name, variant in variants.items():
        changes = " ".join(f"--config.{field}={value!r}" for field, value in variant.overrides.items())
        units = [run for run in chosen if run.variant.name == name]
        states = ", ".join(f"{numbers[run.name]}: {run.folder.name} {_state(run)}" for run in units)
        lines += [f"{name}  ({', '.join(variant.experiments)})", f"    {changes or 'the base'}", f"    {states}"]
    return "\n".join(lines)


def _state(run: Run) -> str:
    if read_result(run):
        return "done"
    if owner := owner_of(run.folder):
        return f"run by {owner}"
    return "failed" if read_failure(run.folder) else "to run"


def sweep(asked: PlannedSweep) -> dict[str, str]:
    """Runs what is not done yet and nobody else runs, then makes the table; returns why runs failed, by name.

    A run that fails does not stop the others, unless it is by a mistake of the user, which is the same for all.

    Raises:
        UserError: what a user can mend.
    """
    failures = {}
    for number, each in enumerate(asked.chosen, 1):
        print(f"--- {number}/{len(asked.chosen)} {each.name}", flush=True)
        try:
            with holding(each.folder) if read_result(each) is None else contextlib.nullcontext():
                if failure := _run_unit(each, asked):
                    failures[each.name] = failure
                if each.seed == each.variant.config.seed and _measured(asked.workdir, each.variant) is None:
                    _measure(asked.workdir, each.variant)
        except Held as error:
            print(f"run by {error}", flush=True)
            failures[each.name] = f"run by {error}"
            continue
        _write_table(asked, failures)
    table = _write_table(asked, failures)
    if any(row["scores"] for row in table["variants"]):
        plot_table(asked.workdir / "curve.png", table)
    print(f"\n{to_markdown(table)}\n\nwritten to {asked.workdir}: table.json, curve.png")
    return failures


def _run_unit(unit: Run, asked: PlannedSweep) -> str | None:
    """Runs a unit that is not done; why it has failed, now or before, or None.

    Raises:
        UserError: what a user can mend.
    """
    if read_result(unit) is not None:
        return None
    if (failure := read_failure(unit.folder)) and not asked.retry:
        print(f"failed before (--retry runs it again):\n{failure.end}", file=sys.stderr, flush=True)
        return failure.reason
    try:
        with unit_log(unit.folder) as failed:
            try:
                run(unit.config, unit.folder, parallel=asked.parallel)
            except UserError as error:
                if not isinstance(error.__cause__, NonFiniteLoss):
                    raise UserError(f"{unit.name}: {error}") from error
                failed(str(error))
            except Exception as error:
                if (fault := machine_fault(error)) and not fault.startswith(OUT_OF_MEMORY):
                    raise UserError(fault) from error  # of the disk, which all units share
                # It is of this unit: the others are run all the same.
                failed(f"{type(error).__name__}: {error}", traceback.format_exc())
    finally:
        jax.clear_caches()  # the next variant is another program
    if failure := read_failure(unit.folder):
        print(f"failed:\n{failure.end}", file=sys.stderr, flush=True)
        return failure.reason
    return None


def _write_table(asked: PlannedSweep, failures: dict[str, str]) -> dict:
    variants = {run.variant.name: run.variant for run in asked.runs}
    measured = {name: _measured(asked.workdir, variant) or {} for name, variant in variants.items()}
    table = make_table(asked.runs, measured, failures)
    write_json(asked.workdir / "table.json", table)
    return table


def _measure(workdir: Path, variant: Variant) -> None:
    """Counts the variant's parameters and times its click, once for all seeds."""
    height, width = parse_canvases(variant.config.data.buckets)[0]
    measured = {
        "of": _measured_of(variant.config),
        "parameters": count_parameters(variant.config)._asdict(),
        "click": measure_click(variant.config.model, height, width),
        "environment": environment(),
    }
    write_json(workdir / variant.name / MEASURED, measured)


def _measured(workdir: Path, variant: Variant) -> dict | None:
    file = workdir / variant.name / MEASURED
    if not file.exists():
        return None
    measured = read_json(file)
    if fault := find_fault(measured, MEASURED_SHAPE):
        raise UserError(f"{file}: does not tell what was measured: {fault}; delete it, and it is measured again")
    return measured if measured["of"] == _measured_of(variant.config) else None


def _measured_of(config: Config) -> dict:
    return {
        "model": dataclasses.asdict(config.model),
        "freeze": config.train.freeze,
        "buckets": config.data.buckets,
    }


def main(argv: Sequence[str]) -> int:
    """The command line, the first word of which is the program's name; returns the exit code: 2 where a run failed.

    Raises:
        UserError: what a user can mend.
    """
    asked = parse_sweep(argv)
    if asked.launch:
        print(launch(asked.launch, asked.workdir))
        missing = [each for each in asked.chosen if read_result(each) is None]
        return 2 if missing and asked.launch.waits else 0
    failures = sweep(asked)
    return 2 if any(not reason.startswith("run by ") for reason in failures.values()) else 0


if __name__ == "__main__":
    sys.exit(start(main))
