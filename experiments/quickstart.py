"""Trains a guided network and its unguided twin on generated images, side by side.

    guided_jax quickstart --workdir=runs/quickstart

Builds the data set, trains both, evaluates them on held-out images, and writes `result.json`, `curve.png`
and `picture.png`. An interrupted run goes on by the same command.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.configs.quickstart import get_config
from experiments.drawing.pictures import plot_predictions, plot_results
from experiments.experiment import run
from experiments.runs.load import load_model
from experiments.settings.command_flags import define_parallel, define_path, own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.config import unguided_twin
from experiments.settings.errors import UserError
from experiments.settings.help_texts import Command
from experiments.settings.json_files import write_json

COMMAND = Command("guided_jax quickstart", __doc__)
HEADLINE = "5"
MODELS = ("guided", "unguided")


def quickstart(workdir: Path, *, parallel: str = "pmap", steps: int = 0) -> dict:
    """Runs everything; returns what `result.json` holds.

    Args:
        workdir: for both runs, the data set and the results.
        parallel: pmap, jit or fsdp.
        steps: updates of each network, where not those of the configuration.
    """
    workdir = Path(workdir)
    results, trained = {}, {}
    for name in MODELS:
        config = get_config()
        config.name = f"quickstart-{name}"
        if name == "unguided":
            config.model = unguided_twin(config.model)
        config.data.prepared = str(workdir / "prepared")
        config.train.steps = steps or config.train.steps
        print(f"--- {name} network: {config.train.steps} updates of {config.train.batch_size} episodes", flush=True)
        results[name] = run(config, workdir / name, parallel=parallel)
        trained[name] = load_model(workdir / name)
    scores = {name: result["scores"] for name, result in results.items()}
    gap = scores["guided"][HEADLINE]["pos_iu"] - scores["unguided"][HEADLINE]["pos_iu"]
    summary = {"points_per_label": HEADLINE, "gap": gap, "results": results}
    write_json(workdir / "result.json", summary)
    plot_results(workdir / "curve.png", results)
    plot_predictions(workdir / "picture.png", trained, points=HEADLINE)
    print(f"\npositive IU on {results['guided']['protocol']['tasks']} held-out tasks, by points per label:")
    print(f"{'':>10}" + "".join(f"{points:>7}" for points in scores["guided"]))
    for name, each in scores.items():
        print(f"{name:>10}" + "".join(f"{score['pos_iu']:>7.3f}" for score in each.values()))
    print(f"guidance gains {gap:.3f} at {HEADLINE} points per label")
    print("\n".join(f"{what:>8}: {workdir / file}" for what, file in _FILES.items()))
    return summary


_FILES = {"results": "result.json", "curve": "curve.png", "picture": "picture.png"}


def main(argv: Sequence[str]) -> None:
    """The command line, the first word of which is the program's name.

    Raises:
        UserError: it is not as it should be.
    """
    values = own_flags()
    text = "`DIR` for the data set, both runs and the results; the same command again goes on with what is there."
    define_path(values, "workdir", "runs/quickstart", text)
    define_parallel(values)
    flags.DEFINE_integer("steps", 0, "Number `N` of updates of each network; 0 is as configured.", flag_values=values)
    read_flags(argv, values, COMMAND)
    if values.steps < 0:
        raise UserError(f"--steps={values.steps}: at least 0, which is as configured")
    quickstart(Path(values.workdir), parallel=values.parallel, steps=values.steps)


if __name__ == "__main__":
    sys.exit(start(main))
