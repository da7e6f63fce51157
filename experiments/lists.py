"""Writes PASCAL-5i's lists of tasks from the masks of VOC and SBD.

    guided_jax lists --root=DATA --out=lists/pascal [--check=THEIRS]

writes `trn/foldK.txt` and `val/foldK.txt`, which hold the tasks of fold K's own classes: lines `IMAGE__CC`, CC the
class from 01 to 20; `--config.eval.lists=lists/pascal/val` reads them. The rule by which a task is taken is that of
`data_pipelines.selection.pascal_lists`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from data_pipelines.datasets.mixture import parse_sources
from data_pipelines.datasets.sources import open_source
from data_pipelines.selection.lists import read_lists
from data_pipelines.selection.pascal_lists import Verdict, by_class, compare, judge_split, write_lists
from experiments.runs.data import the_only
from experiments.settings.checks import check_writable
from experiments.settings.command_flags import define_path, own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.errors import UserError, user_mistakes
from experiments.settings.help_texts import Command

COMMAND = Command("guided_jax lists", __doc__)


def make_lists(sources: dict[str, str], root: Path, prepared: Path, out: Path, check: Path | None = None) -> None:
    """Writes the lists of each of some sources to a folder of its name, and tells how many tasks are on them.

    An image that a list has judged is not on a later one.

    Args:
        sources: by the name of the folder, `val` before `trn`.
        root: folder of the data sets.
        prepared: folder for what is made of them.
        out: folder for the lists.
        check: folder of lists to compare with, over the images at hand; None: no comparison.

    Raises:
        DatasetError: a source or a list is missing or not sound.
    """
    held_out = set()
    for name, text in sources.items():
        source = the_only(parse_sources(text), text)
        verdicts = judge_split(open_source(source, root, prepared / "datasets"))
        verdicts = {line: verdict for line, verdict in verdicts.items() if line.image_id not in held_out}
        held_out |= {line.image_id for line in verdicts}
        taken = [line for line, verdict in verdicts.items() if verdict.taken]
        numbers = write_lists(out / name, sorted(taken, key=by_class if name == "trn" else None))
        print(f"{out / name}: {len(taken)} of {len(verdicts)} tasks; by fold {numbers}")
        if check:
            found = compare(verdicts, read_lists(str(check / name)))
            print(f"{check / name}: {len(found)} lines of these images differ")
            for line, rounding in found.items():
                side = "only ours" if verdicts.get(line, Verdict(False, False)).taken else "only theirs"
                print(f"  {line} {side}{', by rounding half a pixel' if rounding else ''}")


def main(argv: Sequence[str]) -> None:
    """The command line, the first word of which is the program's name.

    Raises:
        UserError: what a user can mend.
    """
    values = own_flags()
    define_path(values, "root", "data", "`DIR` of the data sets, which holds VOCdevkit/VOC2012.")
    define_path(values, "prepared", "prepared", "`DIR` for what is made of the data sets.")
    text = "The `SOURCE` of the lists trn: voc:trainaug, or sbd:trainaug for the originals of VOC and SBD."
    flags.DEFINE_string("train", "voc:trainaug", text, flag_values=values)
    text = "The `SOURCE` of the lists val, whose images are in no list trn."
    flags.DEFINE_string("val", "voc:val", text, flag_values=values)
    define_path(values, "out", "", "`DIR` for the lists, as lists/pascal.")
    text = "`DIR` of such lists, as HSNet's repository has one, to compare with over the images at hand."
    define_path(values, "check", "", text)
    read_flags(argv, values, COMMAND)
    if not values.out:
        raise UserError("--out=DIR is missing: the folder for the lists, as lists/pascal")
    sources = {"val": values.val, "trn": values.train}
    check = Path(values.check) if values.check else None
    check_writable(Path(values.out), "--out")
    with user_mistakes():
        make_lists(sources, Path(values.root), Path(values.prepared), Path(values.out), check)


if __name__ == "__main__":
    sys.exit(start(main))
