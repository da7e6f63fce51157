"""What several devices do to a training step: what they send each other, each one's share, and how fast they are.

    guided_jax benchmark scale [--devices=1,2,4,8] [--batch=8] [--size=128x160] [--rounds=3] [--workdir=DIR]

The step of `guided_jax run --parallel=jit` with the paper's lite guide, one program over the first N devices. Read from
the compiled program: its collectives (an all-reduce of the gradients and of the sums of the loss, and nothing else, is
what data parallelism needs), their bytes, and the operations of one device. Timed, by turns: *strong*, the same batch
over more devices; *weak*, a batch that grows with them, `--batch` over the most. A CPU is divided into as many devices
as are asked for, which share its cores: there the times say nothing of several machines; collectives and shares do.
"""

import contextlib
import math
import re
import statistics
import sys
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from absl import flags

from experiments.benchmarks.command import define_result, open_result, parse_numbers, parse_size, write_result
from experiments.benchmarks.timing import alternate
from experiments.benchmarks.train import MODEL, draw_episodes
from experiments.settings.command_flags import own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.errors import UserError
from experiments.settings.help_texts import Command
from guided_jax.episode import blank_batch
from guided_jax.learning.config import TrainConfig
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.parallel import parallel_train_step, replicate, shard_batch
from guided_jax.learning.step import create_state, train_step
from guided_jax.segmentor import Segmentor
from guided_jax.snapshots.models import PREPROCESSING, find_model

COMMAND = Command("guided_jax benchmark scale", __doc__)
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


class Collective(NamedTuple):
    """One operation between devices.

    Attributes:
        kind: of `COLLECTIVES`.
        bytes: of its result on one device.
    """

    kind: str
    bytes: int


def find_collectives(program: str) -> list[Collective]:
    """The collectives of a compiled program.

    Args:
        program: its text, as XLA prints it.
    """
    found = []
    kinds = "|".join(COLLECTIVES)
    for shape, kind in re.findall(rf"= (\(.*?\)|\S+) ({kinds})(?:-start)?\(", program):
        sizes = re.findall(r"([a-z]+)(\d+)\[([\d,]*)\]", shape)
        found.append(Collective(kind, sum(_bytes(int(bits), dims) for _, bits, dims in sizes)))
    return found


def _bytes(bits: int, dims: str) -> int:
    return math.prod(map(int, filter(None, dims.split(",")))) * bits // 8


def measure_scale(
    numbers: list[int], batch: int, height: int, width: int, rounds: int, model_name: str = MODEL
) -> list[dict[str, Any]]:
    """Compiles and times the step over each number of devices.

    Args:
        numbers: of devices; each divides the batch.
        batch: episodes an update, over all devices.
        height: of the images in pixels.
        width: of the images in pixels.
        rounds: timings of each.
        model_name: which of the reference's models.

    Returns:
        A row for each number: its collectives and their bytes, the operations of one device, and the medians of the
        milliseconds of a step, `strong_ms` and `weak_ms`.
    """
    model = Segmentor(find_model(model_name).config, PREPROCESSING)
    optimizer = make_optimizer(TrainConfig())
    params = jax.jit(model.init)(jax.random.key(0), blank_batch(64))["params"]
    rows, functions = {}, {}
    for number in numbers:
        devices = jax.devices()[:number]
        share = batch * number // max(numbers)
        for kind, size in {"strong": batch, "weak": share}.items():
            # Copies: the state is donated, and the parameters serve other numbers of devices.
            state = replicate(create_state(jax.tree.map(jnp.array, params), optimizer, ""), devices)
            placed = shard_batch(draw_episodes(size, height, width, 0), "jit", devices)
            step = partial(train_step, model=model, optimizer=optimizer, seed=0)
            compiled = parallel_train_step(step, "jit", devices).lower(state, placed).compile()
            functions[kind, number] = _updates(compiled, state, placed)
            if kind == "strong":
                collectives = find_collectives(compiled.as_text())
                rows[number] = {
                    "devices": number,
                    "collectives": {k: sum(c.kind == k for c in collectives) for k in {c.kind for c in collectives}},
                    "bytes": sum(each.bytes for each in collectives),
                    "operations": (compiled.cost_analysis() or {}).get("flops", 0.0),
                }
    for function in functions.values():
        function()
    for (kind, number), times in alternate(functions, rounds).items():
        rows[number][f"{kind}_ms"] = statistics.median(times)
    return list(rows.values())


def _updates(compiled, state, placed):
    holder = [state]

    def update():
        holder[0], totals = compiled(holder[0], placed)
        jax.block_until_ready(totals)

    return update


def print_rows(rows: list[dict[str, Any]]) -> None:
    """The table."""
    print(f"{'devices':>8} {'collectives':>24} {'MiB':>7} {'share of work':>14} {'strong, ms':>11} {'weak, ms':>9}")
    for row in rows:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(row["collectives"].items())) or "none"
        share = row["operations"] / rows[0]["operations"] if rows[0]["operations"] else math.nan
        times = f"{row['strong_ms']:>11.0f} {row['weak_ms']:>9.0f}"
        print(f"{row['devices']:>8} {kinds:>24} {row['bytes'] / 2**20:>7.1f} {share:>14.1%} {times}")


def main(argv: list[str]) -> None:
    """Measures, prints and writes."""
    values = own_flags()
    flags.DEFINE_list("devices", ["1", "2", "4", "8"], "`N,...` numbers of devices.", flag_values=values)
    flags.DEFINE_integer("batch", 8, "`N` episodes an update, over all devices.", 1, flag_values=values)
    flags.DEFINE_string("size", "128x160", "`HEIGHTxWIDTH` of the images in pixels.", flag_values=values)
    flags.DEFINE_integer("rounds", 3, "Number `N` of timings of each.", 1, flag_values=values)
    define_result(values, "scale")
    read_flags(argv, values, COMMAND)
    height, width = parse_size(values.size)
    given = ",".join(values.devices)
    numbers = sorted(set(parse_numbers(values.devices, "--devices", 1, 1024, "1,2,4")))
    if any(values.batch % number for number in numbers):
        raise UserError(f"--devices={given}: each must divide --batch={values.batch}")
    with contextlib.suppress(RuntimeError):  # JAX was used before, and has the devices that it has
        jax.config.update("jax_num_cpu_devices", max(numbers))
    if (there := jax.device_count()) < max(numbers):
        raise UserError(f"--devices={given}: this machine has {there}")
    workdir = open_result(values)
    rows = measure_scale(numbers, values.batch, height, width, values.rounds)
    print_rows(rows)
    write_result(workdir, "scale", {"rows": rows, "batch": values.batch, "height": height, "width": width})


if __name__ == "__main__":
    sys.exit(start(main))
