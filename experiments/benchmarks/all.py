"""All benchmarks that need no browser and no data, one process after the other, and their results in one file.

    guided_jax benchmark all --workdir=DIR [--only=train,video]

Each writes its NAME.json into the folder as soon as it is done; what is there already is kept, so that the same command
goes on where it was stopped. `performance.json` holds them all by name; the page on performance is made of such a file.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.settings.command_flags import define_path, own_flags, read_flags, workdir_of
from experiments.settings.command_line import start
from experiments.settings.errors import UserError, user_mistakes
from experiments.settings.help_texts import Command
from experiments.settings.json_files import write_json

COMMAND = Command("guided_jax benchmark all", __doc__)
NAMES = ("train", "click", "video", "input", "score", "scale")


def measure_all(workdir: Path, names: Sequence[str]) -> list[str]:
    """Runs what is missing, each in a process of its own, and writes `performance.json`.

    Returns:
        The names of those that failed; what was wrong they told themselves.
    """
    failed = []
    for name in names:
        if not (workdir / f"{name}.json").exists():
            print(f"--- {name}", flush=True)
            words = [sys.executable, "-m", "experiments", "benchmark", name, f"--workdir={workdir}"]
            if subprocess.run(words, check=False).returncode:
                failed.append(name)
    files = {name: workdir / f"{name}.json" for name in NAMES}
    found = {name: json.loads(file.read_text("utf-8")) for name, file in files.items() if file.exists()}
    write_json(workdir / "performance.json", found)
    return failed


def main(argv: list[str]) -> None:
    """Runs, and says where the results are.

    Raises:
        UserError: a benchmark failed, or the flags are wrong.
    """
    values = own_flags()
    flags.DEFINE_list("only", list(NAMES), f"`NAME,...` of those to run: {', '.join(NAMES)}.", flag_values=values)
    define_path(values, "workdir", "", "`DIR` for the results.")
    read_flags(argv, values, COMMAND)
    if unknown := next((name for name in values.only if name not in NAMES), None):
        raise UserError(f"--only={unknown}: there are {', '.join(NAMES)}")
    if not values.workdir:
        raise UserError("--workdir=DIR is missing")
    workdir = workdir_of(values)
    with user_mistakes():
        workdir.mkdir(parents=True, exist_ok=True)
        failed = measure_all(workdir, values.only)
    if failed:
        raise UserError(f"failed: {', '.join(failed)}; the same command runs them again")
    print(f"{workdir / 'performance.json'}")


if __name__ == "__main__":
    sys.exit(start(main))
