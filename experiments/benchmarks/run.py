"""How fast an experiment trains: its loader, its step, both together, with and without cached features.

    guided_jax benchmark run --config=interactive --workdir=DIR [--config....]

Prints, and writes to `benchmark.json`, episodes per second of the loader alone, of the step alone (on
batches that already lie on the device), and of the two together, with the share of the time in which the device
waited for data. Where the configuration caches features, full training (images through the frozen
trunk in each step) stands beside it.
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import jax

from experiments.experiment import open_data, open_experiment
from experiments.runs.data import host_batches
from experiments.runs.workdir import environment
from experiments.settings.command_line import run_app, start
from experiments.settings.config import Config
from experiments.settings.errors import user_mistakes
from experiments.settings.help_texts import Command
from experiments.settings.json_files import write_json
from guided_jax.learning.loop import Window
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.parallel import parallel_train_step, place, prefetch, shard_batch
from guided_jax.learning.step import create_state, train_step

COMMAND = Command(
    "guided_jax benchmark run",
    __doc__,
    fields="Another value for a field of the configuration, as --config.data.workers=4.",
)

BATCHES = 10
"""Number of batches that are timed, the same ones each time."""


def measure(config: Config, parallel: str) -> dict[str, float]:
    """Times one configuration.

    Returns:
        loader, step and together in episodes per second; wait, the share of the time together.
    """
    devices, size = jax.devices(), config.train.batch_size
    experiment, params = open_experiment(config, parallel, *open_data(config, training=True))
    optimizer = make_optimizer(config.train)
    step = partial(
        train_step,
        model=experiment.model,
        optimizer=optimizer,
        seed=config.seed,
        corrections=config.train.corrections,
    )
    update = parallel_train_step(step, parallel, devices)
    state = place(create_state(params, optimizer, config.train.freeze), parallel, devices)

    load = partial(host_batches, config, experiment.stream, size, stop=BATCHES)
    began = time.perf_counter()
    first_of_shape = {batch.target.shape: batch for batch in load()}
    loader = BATCHES * size / (time.perf_counter() - began)

    for batch in first_of_shape.values():  # compiles
        state, totals = update(state, shard_batch(batch, parallel, devices))
    seconds = 0.0
    for batch in load():
        placed = jax.block_until_ready(shard_batch(batch, parallel, devices))
        began = time.perf_counter()
        state, totals = update(state, placed)
        jax.block_until_ready(totals)
        seconds += time.perf_counter() - began

    window = Window()
    batches = prefetch(load(), parallel, devices)
    for number in range(BATCHES):
        batch = window.timed_next(batches)
        state, totals = update(state, batch)
        window.add(number, totals)
    together = window.close(size)
    return {
        "loader": loader,
        "step": BATCHES * size / seconds,
        "together": together["episodes_per_second"],
        "wait": together["wait"],
    }


def measure_variants(config: Config, workdir: Path, mode: str, parallel: str) -> None:
    """Measures, prints and writes."""
    del mode
    with user_mistakes():
        workdir.mkdir(parents=True, exist_ok=True)
    variants: dict[str, Callable[[Config], None]] = {"as configured": lambda config: None}
    if config.train.cache_features:
        variants = {
            "cached features": lambda config: None,
            "full": lambda config: setattr(config.train, "cache_features", False),
        }
    rows = {}
    for name, change in variants.items():
        change(config)
        with user_mistakes():
            rows[name] = measure(config, parallel)
    print(f"{'episodes per second':>20} {'loader':>9} {'step':>9} {'together':>9} {'loader/step':>12} {'wait':>7}")
    for name, row in rows.items():
        row["loader_over_step"] = row["loader"] / row["step"]
        columns = [f"{row['loader']:>9.1f}", f"{row['step']:>9.2f}", f"{row['together']:>9.2f}"]
        print(f"{name:>20} {' '.join(columns)} {row['loader_over_step']:>12.1f} {row['wait']:>7.2%}")
    if len(rows) == 2:
        print(
            f"cached features train {rows['cached features']['together'] / rows['full']['together']:.1f} times as fast"
        )
    write_json(workdir / "benchmark.json", {"name": config.name, "rows": rows, "environment": environment()})


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    return run_app(measure_variants, argv, COMMAND)


if __name__ == "__main__":
    sys.exit(start(main))
