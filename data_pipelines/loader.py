"""From episodes to batches: grain reads ahead in threads or in worker processes.

Grain imports JAX (only to walk pytrees; no device is touched), so this module and its worker processes do too.
"""

import contextlib
import functools
import sys
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import grain
import numpy as np
from absl import flags

from data_pipelines.processes import begin_worker, count_cores, watched
from guided_jax.episode import Episode


@runtime_checkable
class Episodes(Protocol):
    """Random access to episodes, those of a group sharing all shapes."""

    group: int

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> Episode: ...


def stack_episodes(episodes: Sequence[Episode]) -> Episode:
    """Stacks episodes of equal shapes into a batch: every array gets a leading axis B."""
    return Episode(*(_stack(field) for field in zip(*episodes, strict=True)))


def batches(
    episodes: Episodes,
    batch_size: int,
    *,
    start: int = 0,
    stop: int | None = None,
    workers: int = 0,
    host: int = 0,
    hosts: int = 1,
    threads: int | None = None,
    prefetch: int = 2,
) -> Iterator[Episode]:
    """Loads batches in order: batch b of host h holds the episodes b*B + h*B/hosts and the next B/hosts - 1.

    What a batch holds depends on the episodes alone: not on workers, threads, start, nor on the number of hosts.

    Args:
        episodes: what to load.
        batch_size: global batch size B; it divides the episodes' group.
        start: the first batch, to go on after an interruption.
        stop: the batch to stop before; None goes to the end.
        workers: processes to load in; 0 loads in threads of this process.
        host: number of this host.
        hosts: how many hosts share a batch.
        threads: that load batches at the same time, in all; by default one per core, 16 at most.
        prefetch: batches kept ready besides those in the making, by each process.

    Raises:
        ValueError: numbers that do not fit together.
    """
    if batch_size < 1 or episodes.group % batch_size:
        raise ValueError(f"batch size {batch_size} must divide the episodes' group of {episodes.group}")
    if hosts < 1 or batch_size % hosts:
        raise ValueError(f"batch size {batch_size} must be a multiple of the number of hosts, {hosts}")
    if not 0 <= host < hosts:
        raise ValueError(f"host is {host}; it must lie between 0 and {hosts - 1}")
    if workers < 0 or prefetch < 0:
        raise ValueError(f"workers is {workers} and prefetch {prefetch}; each must be 0 or more")
    last = len(episodes) // batch_size
    stop = last if stop is None else min(stop, last)
    local = batch_size // hosts
    threads = threads or min(16, count_cores())
    threads = max(1, threads // max(1, workers))

    load = functools.partial(_load, episodes, batch_size, host * local, local)
    dataset = grain.MapDataset.range(start, max(start, stop)).map(load)
    dataset = dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + prefetch))
    if workers:
        if not flags.FLAGS.is_parsed():  # grain reads its own flags there, and fails in a program without absl.app
            flags.FLAGS.mark_as_parsed()
        # Batches come pickled through a pipe, about as fast as grain's shared memory, which leaks a batch at the end
        # and needs a large /dev/shm, where containers have 64 MiB and a worker that exceeds it dies of a bus error.
        options = grain.experimental.DatasetOptions(min_shm_size=sys.maxsize)
        dataset = grain.experimental.WithOptionsIterDataset(dataset, options)
        options = grain.MultiprocessingOptions(workers, per_worker_buffer_size=max(1, prefetch))
        dataset = dataset.mp_prefetch(options, worker_init_fn=begin_worker)
        return watched(_iterate(dataset))
    return _iterate(dataset)


def _load(episodes: Episodes, batch_size: int, offset: int, local: int, batch: int) -> Episode:
    first = int(batch) * batch_size + offset
    return stack_episodes([episodes[i] for i in range(first, first + local)])


def _iterate(dataset: grain.IterDataset) -> Iterator[Episode]:
    with contextlib.closing(iter(dataset)) as iterator:
        yield from iterator


def _stack(field: tuple) -> np.ndarray | tuple[np.ndarray, ...] | None:
    if field[0] is None:
        return None
    if isinstance(field[0], tuple):
        return tuple(np.stack(maps) for maps in zip(*field, strict=True))
    return np.stack(field)
