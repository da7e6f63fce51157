"""Several processes that run one command, on one host or on many."""

import contextlib
import itertools
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import jax
import numpy as np
from absl import flags
from jax.experimental import multihost_utils

from experiments.settings.errors import UserError
from experiments.settings.exits import watch_stderr

ADDRESS, COUNT, NUMBER = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"

Item, Made = TypeVar("Item"), TypeVar("Made")


def define_distributed(values: flags.FlagValues) -> None:
    """Adds `--distributed`; who has read the flags calls `join_hosts` if it is set."""
    text = (
        "This is one of several processes, the same command in each. Slurm, Open MPI, Kubernetes or a TPU pod tells of "
        f"the others, or else {ADDRESS}, {COUNT} and {NUMBER} do."
    )
    flags.DEFINE_bool("distributed", False, text, flag_values=values)


HEARTBEAT = 60
"""Seconds without a sign of life after which a process counts as lost, and the others end."""


def join_hosts() -> None:
    """Joins the other processes; before anything else is done with JAX.

    From then on a lost process ends this one, after `HEARTBEAT` at most and with a line.

    Raises:
        UserError: the environment does not tell who they are, or they cannot be reached.
    """
    numbers = {"num_processes": COUNT, "process_id": NUMBER}
    # JAX would catch SIGTERM, for programs that save a checkpoint then, and go on.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        given = {name: int(os.environ[variable]) for name, variable in numbers.items() if variable in os.environ}
        jax.distributed.initialize(os.environ.get(ADDRESS), heartbeat_timeout_seconds=HEARTBEAT, **given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(
            f"--distributed: {str(error).rstrip('.')}; start it under Slurm, Open MPI, Kubernetes or on a TPU pod, "
            f"or set {ADDRESS} (host:port of the first process), {COUNT} and {NUMBER} (0, 1, ...)"
        ) from error
    watch_stderr()


def from_first(tree):
    """The first process's arrays, as numpy, on all processes; elsewhere the tree only tells their shapes."""
    return multihost_utils.broadcast_one_to_all(tree) if jax.process_count() > 1 else tree


def any_host(value: bool) -> bool:
    """Whether a value is true on any of the processes; all must ask."""
    return bool(multihost_utils.process_allgather(np.array(value)).any())


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Around a part without collectives: all processes go on after it, or none does.

    Raises:
        Exception: of this process.
        UserError: another one has failed.
    """
    failure = None
    try:
        yield
    except Exception as error:
        failure = error
    if jax.process_count() > 1:
        failed = multihost_utils.process_allgather(np.array(failure is not None))
        if failure is None and failed.any():
            failure = UserError(f"process {int(failed.argmax())} cannot go on; its message says why")
    if failure is not None:
        raise failure


def by_hosts(work: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
    """What comes of each item, in their order, on every process; of H processes each works on every H-th item.

    Args:
        work: of one item, without collectives; what it gives can be pickled.
        items: the same on all processes.

    Raises:
        Exception: of this process's work.
        UserError: that of another process has failed.
    """
    with together():
        mine = [work(item) for item in items[jax.process_index() :: jax.process_count()]]
    rounds = itertools.zip_longest(*_gather(mine))
    return list(itertools.chain.from_iterable(rounds))[: len(items)]  # what is filled up stands at the end


def _gather(mine: list[Made]) -> list[list[Made]]:
    """The lists of all processes."""
    if jax.process_count() == 1:
        return [mine]
    written = np.frombuffer(pickle.dumps(mine), np.uint8)
    sizes = multihost_utils.process_allgather(np.array(len(written)))
    padded = np.zeros(sizes.max(), np.uint8)
    padded[: len(written)] = written
    everything = multihost_utils.process_allgather(padded)
    return [pickle.loads(each[:size].tobytes()) for each, size in zip(everything, sizes, strict=True)]


def leave_hosts(code: int) -> int:
    """Gives the exit code of this process; one that failed ends here and now, or it would wait for the others."""
    if code and jax.distributed.is_initialized():
        sys.stdout.flush()
        os._exit(code)
    return code
