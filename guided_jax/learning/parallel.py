"""One step on many devices: `pmap`, `jit` over a mesh, or `fsdp`. The numbers are the same, and so is the state.

Under pmap and jit each device holds the whole state. Under fsdp, which is jit besides, each holds its share of the
large arrays: parameters come together where a layer needs them, gradients and the optimiser's state stay divided.

With several processes the step spans the devices of all of them. Arrays are then global under jit, and each
process's own under pmap, which joins and parts them itself.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from guided_jax.episode import Episode

MODES = ("pmap", "jit", "fsdp")
_AXIS = "data"
_SMALL = 2**8
"""Elements of an array that is not worth dividing: a message takes its time, however short."""


def _sharding(devices: list[jax.Device], spec: PartitionSpec) -> NamedSharding:
    return NamedSharding(_mesh(tuple(devices)), spec)


@cache
def _mesh(devices: tuple[jax.Device, ...]) -> Mesh:
    return jax.make_mesh((len(devices),), (_AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def parallel_train_step(step: Callable, mode: str, devices: list[jax.Device]) -> Callable:
    """Builds `train_step` (state, batch) -> (state, totals) over all devices, for what `shard_batch` gives.

    The state has no device axis and is donated. Under pmap the step sums over the axis itself: its
    outputs are then the same on every device, which pmap does not check.
    """
    if mode == "pmap":
        return jax.pmap(
            partial(step, axis_name=_AXIS),
            axis_name=_AXIS,
            in_axes=(None, 0),
            out_axes=(None, None),
            donate_argnums=(0,),
            devices=devices,
        )
    whole, split = _sharding(devices, PartitionSpec()), _sharding(devices, PartitionSpec(_AXIS))
    if mode == "fsdp":

        def divided(state, batch):
            state, totals = step(state, batch)
            return jax.lax.with_sharding_constraint(state, _shares(state, devices)), totals

        return jax.jit(divided, in_shardings=(None, split), out_shardings=(None, whole), donate_argnums=(0,))
    return jax.jit(step, in_shardings=(whole, split), out_shardings=(whole, whole), donate_argnums=(0,))


def parallel_evaluate(step: Callable, mode: str, devices: list[jax.Device]) -> Callable:
    """Builds `(params, batch) -> per-episode arrays` and returns them with one leading axis of episodes."""
    if mode == "pmap":
        mapped = jax.pmap(step, axis_name=_AXIS, in_axes=(None, 0), out_axes=0, devices=devices)
        return lambda params, batch: jax.tree.map(
            lambda leaf: np.concatenate(list(np.asarray(leaf))), mapped(params, batch)
        )
    whole, split = _sharding(devices, PartitionSpec()), _sharding(devices, PartitionSpec(_AXIS))
    jitted = jax.jit(step, in_shardings=(None if mode == "fsdp" else whole, split), out_shardings=split)
    return lambda params, batch: jax.tree.map(np.asarray, jitted(params, batch))


def devices_of(mode: str) -> list[jax.Device]:
    """The devices on which this process lays states and batches: all of the mesh, or under pmap its own."""
    return jax.local_devices() if mode == "pmap" else jax.devices()


def replicate(tree, devices: list[jax.Device]):
    """Puts a state or parameters on every device, once; without it each call would move them again.

    Args:
        tree: whole on this process; the same on all of them.
        devices: of `devices_of`.
    """
    return _place(tree, jax.tree.map(lambda _: _sharding(devices, PartitionSpec()), tree))


def place(state, mode: str, devices: list[jax.Device]):
    """Puts a state on the devices as the mode has it: the whole on each, or under fsdp a share of each large array.

    Args:
        state: whole on this process; the same on all of them.
        mode: of `MODES`.
        devices: of `devices_of`.
    """
    return _place(state, _shares(state, devices)) if mode == "fsdp" else replicate(state, devices)


def gather(tree):
    """A tree that may be divided, as whole numpy arrays; where several processes share it, all must ask."""

    def whole(leaf) -> np.ndarray:
        if isinstance(leaf, jax.Array) and not (leaf.is_fully_replicated or leaf.is_fully_addressable):
            return multihost_utils.process_allgather(leaf, tiled=True)
        return np.asarray(leaf)

    return jax.tree.map(whole, tree)


def _place(tree, shardings):
    if jax.tree.leaves(shardings)[0].is_fully_addressable:
        return jax.device_put(tree, shardings)
    tree = jax.tree.map(np.asarray, tree)
    return jax.tree.map(
        lambda leaf, sharding: jax.make_array_from_callback(leaf.shape, sharding, lambda i: leaf[i]), tree, shardings
    )


def _shares(tree, devices: list[jax.Device]):
    """How each array is divided: along its longest axis that divides evenly, or not where it is small or has none."""

    def share(leaf) -> NamedSharding:
        even = [axis for axis, length in enumerate(leaf.shape) if length % len(devices) == 0]
        if leaf.size < _SMALL or not even:
            return _sharding(devices, PartitionSpec())
        longest = max(even, key=lambda axis: leaf.shape[axis])
        return _sharding(devices, PartitionSpec(*[None] * longest, _AXIS))

    return jax.tree.map(share, tree)


def shard_batch(batch: Episode, mode: str, devices: list[jax.Device]) -> Episode:
    """Starts the transfer of a batch of numpy arrays, its episodes divided over the devices.

    Args:
        batch: this process's share of the batch.
        mode: of `MODES`.
        devices: of `devices_of`.
    """
    if mode == "pmap":
        batch = jax.tree.map(lambda leaf: leaf.reshape(len(devices), -1, *leaf.shape[1:]), batch)
    sharding = _sharding(devices, PartitionSpec(_AXIS))
    if sharding.is_fully_addressable:
        return jax.device_put(batch, sharding)
    return jax.tree.map(partial(jax.make_array_from_process_local_data, sharding), batch)


def prefetch(batches: Iterable[Episode], mode: str, devices: list[jax.Device], depth: int = 2) -> Iterator[Episode]:
    """Keeps the transfers of `depth` batches under way ahead of the step."""
    ahead: deque[Episode] = deque()
    for batch in batches:
        ahead.append(shard_batch(batch, mode, devices))
        if len(ahead) > depth:
            yield ahead.popleft()
    yield from ahead
