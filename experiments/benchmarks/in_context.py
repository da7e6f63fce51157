"""What each option of in-context inference is worth on a frozen backbone: every image is encoded once for all of them.

    guided_jax benchmark in-context --config=in_context --workdir=DIR \
        --config.eval.classes=fold:2 --config.eval.limit=60 --config.data.root=DATA --config.weights=WEIGHTS

Scores the tasks of the configuration's evaluation under every variant of the sweep `in_context`, and writes
`benchmark.json`: the mean IU over classes and the pooled positive IU, as the evaluation of a run gives them.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.configs.in_context import get_sweep
from experiments.experiment import open_data, open_experiment
from experiments.runs.data import host_batches
from experiments.runs.workdir import environment
from experiments.settings.checks import check_config
from experiments.settings.command_line import run_app, start
from experiments.settings.config import Config
from experiments.settings.errors import user_mistakes
from experiments.settings.fields import to_dict, with_overrides
from experiments.settings.help_texts import Command
from experiments.settings.json_files import write_json
from guided_jax.episode import Episode
from guided_jax.guided_filter import filter_guide, filter_logits
from guided_jax.inference.labels import predict_labels
from guided_jax.scoring.few_shot import count_labels
from guided_jax.scoring.positive_iu import PositiveIU, positive_iu
from guided_jax.segmentor import Segmentor
from guided_jax.without_training import place_directions

COMMAND = Command(
    "guided_jax benchmark in-context",
    __doc__,
    fields="Another value for a field of the configuration, as --config.model.stride=8.",
)


def _count(params: dict, episode: Episode, pixels, *, model: Segmentor, filtered: bool):
    """Outcomes of each episode of trunk maps, as `guided_jax.learning.step.evaluate_step` counts them."""
    guide = filter_guide(pixels, episode.query_size) if filtered else None

    def count(logits, weights):
        del weights
        logits = filter_logits(guide, logits) if filtered else logits
        return count_labels(predict_labels(logits), episode.target, episode.query_size)

    return jnp.moveaxis(model.apply({"params": params}, episode, None, count), 0, 1)


def _with_maps(encode: Callable, params: dict, episode: Episode) -> Episode:
    """The episodes with the trunk's maps in place of pixels, as from a cache of features."""
    query = encode({"params": params}, episode.query, episode.query_size)
    if episode.support is None:
        return episode._replace(query=query)
    lead = episode.support_size.shape[:2]
    flat = episode.support.reshape(-1, *episode.support.shape[2:])
    maps = encode({"params": params}, flat, episode.support_size.reshape(-1, 2))
    return episode._replace(query=query, support=tuple(each.reshape(*lead, *each.shape[1:]) for each in maps))


def measure(config: Config, parallel: str) -> dict[str, PositiveIU]:
    """Scores of every variant, by its name."""
    changes = {name: with_overrides(config, overrides) for name, overrides in get_sweep()}
    for changed in changes.values():
        check_config(changed, training=False)
    experiment, params = open_experiment(config, parallel, *open_data(config, training=False))
    variants = {}
    for name, changed in changes.items():
        model = Segmentor(changed.model, experiment.model.preprocessing)
        count = jax.jit(partial(_count, model=model, filtered=changed.eval.guided_filter))
        variants[name] = partial(count, place_directions(model, params))
    encode = jax.jit(partial(experiment.model.apply, method="trunk_maps"))
    counts, classes, real = {name: [] for name in variants}, [], []
    for batch in host_batches(config, experiment.tasks, experiment.tasks.group):
        classes.append(batch.task_class)
        real.append(batch.real)
        batch = jax.tree.map(jnp.asarray, batch)
        maps = _with_maps(encode, params, batch)
        for name, count in variants.items():
            counts[name].append(np.asarray(count(maps, batch.query)))
    kept = np.concatenate(real)
    return {
        name: positive_iu(np.concatenate(each)[kept, 0, :3].astype(np.int64), np.concatenate(classes)[kept])
        for name, each in counts.items()
    }


def measure_variants(config: Config, workdir: Path, mode: str, parallel: str) -> None:
    """Measures, prints and writes."""
    del mode
    with user_mistakes():
        workdir.mkdir(parents=True, exist_ok=True)
        scores = measure(config, parallel)
    rows = {name: {"pos_iu": float(each.pooled), "class_iu": float(each.class_mean)} for name, each in scores.items()}
    print(f"{'':>16} {'positive IU':>12} {'class mean':>11}")
    for name, row in rows.items():
        print(f"{name:>16} {row['pos_iu']:>12.1%} {row['class_iu']:>11.1%}")
    found = {"config": to_dict(config), "rows": rows, "environment": environment()}
    write_json(workdir / "benchmark.json", found)


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    return run_app(measure_variants, argv, COMMAND)


if __name__ == "__main__":
    sys.exit(start(main))
