"""Starts processes that share the units of a sweep: on this machine, or as jobs of Slurm, through submitit.

Each runs the same command, in its own process. They need not know of each other: leases of the units part the work.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags

from data_pipelines.counted import counted
from experiments.settings.errors import UserError

LOGS = "jobs"
"""Folder in the workdir for submitit's files: of each job what it printed."""

LAUNCHERS = ("none", "local", "slurm")

ALONE = ("--launcher=local", "--jobs=1")
"""What a started process is told: to run the units itself."""


class Launch(NamedTuple):
    """What is started.

    Attributes:
        launcher: local or slurm.
        words: of the command that each process runs, but for `ALONE`.
        jobs: number of processes.
        partition: of Slurm; empty: its default.
        minutes: most time of a job.
    """

    launcher: str
    words: tuple[str, ...]
    jobs: int
    partition: str
    minutes: int

    @property
    def waits(self) -> bool:
        """Whether it is waited for until all have ended."""
        return self.launcher == "local"


def define_launch(values: flags.FlagValues) -> None:
    """Adds the flags of launchers."""
    flags.DEFINE_enum(
        "launcher",
        "none",
        LAUNCHERS,
        "Who runs the units: none lists them; local is this process, one after the other, or a process for each of "
        "several GPUs, which it waits for; slurm submits jobs and ends. More than one process needs "
        "`pip install 'guided_jax[cluster]'`.",
        flag_values=values,
    )
    text = "Number `N` of the launcher's processes; 0: one a GPU of this machine, at least one."
    flags.DEFINE_integer("jobs", 0, text, lower_bound=0, upper_bound=1000, flag_values=values)
    flags.DEFINE_string("partition", "", "The `PARTITION` of Slurm.", flag_values=values)
    text = "Most time `M` of a job of Slurm in minutes; a unit that it cuts off goes on in the next one."
    flags.DEFINE_integer("minutes", 60, text, lower_bound=1, flag_values=values)


def read_launch(values: flags.FlagValues, words: Sequence[str]) -> Launch | None:
    """What the flags ask for; None: no process but this one.

    Args:
        values: the command's flags.
        words: of the command line.

    Raises:
        UserError: a flag is of no effect, there is no submitit, or no Slurm.
    """
    own = ("jobs", "partition", "minutes")
    used = ("jobs",) if values.launcher == "local" else own if values.launcher == "slurm" else ()
    if idle := [name for name in own if values[name].present and name not in used]:
        raise UserError(f"--{idle[0]}: is of no effect with --launcher={values.launcher}")
    jobs = values.jobs or len(_gpus()) or 1
    if values.launcher == "none" or (values.launcher == "local" and jobs == 1):
        return None
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise UserError(
            f"--launcher={values.launcher} with {counted(jobs, 'job')}: needs submitit, which is not installed: "
            "pip install 'guided_jax[cluster]'"
        ) from None
    if values.launcher == "slurm" and not shutil.which("sbatch"):
        raise UserError("--launcher=slurm: there is no Slurm here (no command sbatch); --launcher=local would do")
    return Launch(values.launcher, _without(words, ("launcher", *own)), jobs, values.partition, values.minutes)


def _without(words: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The words without some flags, written as --NAME=VALUE or --NAME VALUE."""
    kept, passed = [], False
    for word in words:
        name, equals, _ = word.lstrip("-").partition("=")
        if passed:
            passed = False
        elif word.startswith("-") and name in names:
            passed = not equals
        else:
            kept.append(word)
    return tuple(kept)


def _gpus() -> list[str]:
    """Numbers of this machine's NVIDIA GPUs that may be used, found without taking hold of one."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [each for each in chosen.split(",") if each]
    return sorted((file.name.removeprefix("nvidia") for file in Path("/dev").glob("nvidia[0-9]*")), key=int)


def launch(asked: Launch, workdir: Path) -> str:
    """Starts the processes; gives what to tell the user. On this machine it waits until all have ended."""
    import submitit

    folder = (workdir / LOGS).absolute()
    executor = submitit.AutoExecutor(folder, cluster=asked.launcher)
    executor.update_parameters(name="guided_jax", timeout_min=asked.minutes if not asked.waits else 60 * 24 * 365)
    if asked.launcher == "slurm":
        executor.update_parameters(slurm_partition=asked.partition or None)
    command = [sys.executable, "-m", "experiments", "sweep", *asked.words, *ALONE]
    gpus, jobs = _gpus(), []
    if asked.waits:
        for number in range(asked.jobs):
            own = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
            jobs.append(executor.submit(submitit.helpers.CommandFunction(command, env=own)))
    else:
        run = submitit.helpers.CommandFunction(command)
        with executor.batch():
            jobs = [executor.submit(run) for _ in range(asked.jobs)]
    started = f"{counted(len(jobs), 'job')} ({', '.join(job.job_id for job in jobs)}); what they print: {folder}"
    if not asked.waits:
        return f"submitted {started}\nthe same command without --launcher tells what is done"
    ended = [job.exception() for job in jobs]
    lines = [f"ended {started}"]
    for job, error in zip(jobs, ended, strict=True):
        if error is not None:
            end = "\n".join(f"    {line}" for line in ((job.stderr() or "") + str(error)).splitlines()[-10:])
            lines.append(f"job {job.job_id} did not end well:\n{end}")
    return "\n".join(lines)
