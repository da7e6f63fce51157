"""Trains and evaluates an experiment.

python -m experiments.run --config=experiments/<module>.py --workdir=DIR [--config.train.learning_rate=1e-5 ...]
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax

from experiments.drawing.pictures import plot_predictions, plot_results
from experiments.evaluation.spread import percent
from experiments.experiment import run
from experiments.runs.load import load_model
from experiments.settings.command_line import run_app, show_messages
from experiments.settings.config import Config, describe_model


def main(config: Config, workdir: Path, mode: str, parallel: str) -> None:
    """Runs an experiment and prints its scores."""
    result = run(config, workdir, mode, parallel)
    if result and jax.process_index() == 0:
        name = describe_model(config.model)
        print(table_of(result, name))
        plot_results(workdir / "curve.png", {name: result})
        best = mode == "eval" and config.eval.checkpoint == "best"  # what was scored is what is shown
        trained = load_model(workdir, best=best)._replace(config=config)
        points = config.eval.headline or next(iter(result["scores"]))
        plot_predictions(workdir / "picture.png", {name: trained}, points=points)
        end = f"-{config.eval.name}" if config.eval.name else ""
        print(f"written to {workdir}: result{end}.json, tasks{end}.jsonl, curve.png, picture.png")
        if config.eval.save:
            print(f"masks written to {config.eval.save}")


def table_of(result: dict[str, Any], name: str) -> str:
    """The scores x 100 for a terminal; of semantic tasks under each published accumulation, too."""
    lines = [f"{result['protocol']['data']}: {result['protocol']['tasks']} tasks, {name}"]
    summed = list(next(iter(result["scores"].values())).get("accumulations", {}))
    lines.append(f"{'points per label':>18} {'positive IU':>12} {'class mean':>12}{_cells(summed)}")
    for points, scores in result["scores"].items():
        values = [scores["accumulations"][each]["iou"] for each in summed]
        cells = _cells(map(percent, values))
        lines.append(f"{points:>18} {percent(scores['pos_iu']):>12} {percent(scores['class_mean']):>12}{cells}")
    return "\n".join(lines)


def _cells(values: Iterable[str]) -> str:
    return "".join(f" {value:>10}" for value in values)


def console() -> None:
    """The installed command."""
    show_messages()
    sys.exit(run_app(main))


if __name__ == "__main__":
    console()
