"""Several processes that run one experiment, on one host or on many."""

import contextlib
import os
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from experiments.settings.errors import UserError

ADDRESS, COUNT, NUMBER = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"


def join_hosts() -> None:
    """Joins the other processes; before anything else is done with JAX.

    Raises:
        UserError: the environment does not tell who they are, or they cannot be reached.
    """
    numbers = {"num_processes": COUNT, "process_id": NUMBER}
    # JAX would catch SIGTERM, for programs that save a checkpoint then, and go on.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        given = {name: int(os.environ[variable]) for name, variable in numbers.items() if variable in os.environ}
        jax.distributed.initialize(os.environ.get(ADDRESS), **given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(
            f"--distributed: {str(error).rstrip('.')}; start it under Slurm, Open MPI, Kubernetes or on a TPU pod, "
            f"or set {ADDRESS} (host:port of the first process), {COUNT} and {NUMBER} (0, 1, ...)"
        ) from error


def from_first(tree):
    """The first process's arrays, as numpy, on all processes; elsewhere the tree only tells their shapes."""
    return multihost_utils.broadcast_one_to_all(tree) if jax.process_count() > 1 else tree


def any_host(value: bool) -> bool:
    """Whether a value is true on any of the processes; all must ask."""
    return bool(multihost_utils.process_allgather(np.array(value)).any())


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Around a part of the start without collectives: all processes go on, or none does.

    Raises:
        UserError: of this process, or else that another one has failed.
    """
    failure = None
    try:
        yield
    except UserError as error:
        failure = error
    if jax.process_count() > 1:
        failed = multihost_utils.process_allgather(np.array(failure is not None))
        if failure is None and failed.any():
            failure = UserError(f"process {int(failed.argmax())} cannot start; its message says why")
    if failure is not None:
        raise failure
