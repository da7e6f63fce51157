"""Trains and evaluates an experiment.

guided_jax run --config=NAME --workdir=DIR [--config.train.learning_rate=1e-5 ...]
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax

from data_pipelines.counted import counted
from experiments.drawing.pictures import plot_predictions, plot_results
from experiments.evaluation.spread import percent
from experiments.experiment import run, scores_best
from experiments.runs.load import Trained, load_model
from experiments.settings.command_line import run_app, start
from experiments.settings.config import Config, describe_model


def run_and_draw(config: Config, workdir: Path, mode: str, parallel: str) -> None:
    """Runs an experiment, prints its scores, and draws them with some predictions."""
    result = run(config, workdir, mode, parallel)
    if result and jax.process_index() == 0:
        name = describe_model(config.model)
        print(table_of(result, name))
        end = f"-{config.eval.name}" if config.eval.name else ""
        plot_results(workdir / f"curve{end}.png", {name: result})
        points = config.eval.headline or next(iter(result["scores"]))
        plot_predictions(workdir / f"picture{end}.png", {name: load_scored(config, workdir, mode)}, points=points)
        print(f"written to {workdir}: result{end}.json, tasks{end}.jsonl, curve{end}.png, picture{end}.png")
        if config.eval.save:
            print(f"masks written to {config.eval.save}")


def load_scored(config: Config, workdir: Path, mode: str) -> Trained:
    """The model that a run has scored, under the configuration that it was scored by."""
    return load_model(workdir, best=scores_best(config, mode))._replace(config=config)


def table_of(result: dict[str, Any], name: str) -> str:
    """The scores x 100 for a terminal; of semantic tasks under each published accumulation, too."""
    lines = [f"{result['protocol']['data']}: {result['protocol']['tasks']} tasks, {name}"]
    summed = list(next(iter(result["scores"].values())).get("accumulations", {}))
    lines.append(f"{'points per label':>18} {'positive IU':>12} {'class mean':>12} {'small':>8}{_cells(summed)}")
    for points, scores in result["scores"].items():
        values = [scores["accumulations"][each]["iou"] for each in summed]
        cells = _cells(map(percent, values))
        means = f"{percent(scores['pos_iu']):>12} {percent(scores['class_mean']):>12} {percent(scores.get('small')):>8}"
        lines.append(f"{points:>18} {means}{cells}")
    if seconds := result.get("speed", {}).get("seconds_per_task"):
        steps = result["protocol"]["tuning"]["steps"]
        lines.append(f"fine-tuned on each support in {counted(steps, 'update')}: {seconds:.2f} s a task and annotation")
    return "\n".join(lines)


def _cells(values: Iterable[str]) -> str:
    return "".join(f" {value:>10}" for value in values)


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    return run_app(run_and_draw, argv)


if __name__ == "__main__":
    sys.exit(start(main))
