"""Makes a report of runs from their result files: Markdown with PNGs, and one HTML file.

    guided_jax report runs/a runs/b [--out=report]

RUN is the folder of a run (of run, quickstart, sweep, score, video, clicks, interactive-video), or a file of results in
it. Those that differ in the seed alone become a mean with its deviation; those under one protocol share
tables and curves. Where a figure is published for the same task, it stands beside ours.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from absl import flags

from data_pipelines.disk import write_text
from experiments.reports.cases import case_blocks
from experiments.reports.click_cases import click_case_blocks
from experiments.reports.clicks import click_sections, interactive_video_section
from experiments.reports.content import FigureFolder, Section
from experiments.reports.evaluations import evaluation_sections
from experiments.reports.found import Found, find_all
from experiments.reports.pages import to_html, to_markdown
from experiments.reports.sweeps import sweep_section
from experiments.reports.video_cases import video_case_blocks
from experiments.reports.videos import video_sections
from experiments.settings.checks import check_writable
from experiments.settings.command_flags import define_path, override, own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import differing, to_dict
from experiments.settings.help_texts import Command

WHERE = ("data.root", "data.prepared")
COMMAND = Command(
    "guided_jax report",
    __doc__,
    words="RUN ...",
    fields=f"Where the data are now, for pictures of single tasks: {' and '.join(WHERE)}, as --config.data.root=DATA.",
)


class ReportOptions(NamedTuple):
    """What a report is made of, and where it goes.

    Attributes:
        runs: folders or files.
        out: folder of the report.
        title: of the report.
        cases: best, median and worst tasks each.
        points: that they are chosen by; empty: the headline.
        where: fields that say where the data are.
    """

    runs: tuple[Path, ...]
    out: Path
    title: str
    cases: int
    points: str
    where: dict[str, str]


def parse(argv: Sequence[str]) -> ReportOptions:
    """Reads a command line, the first word of which is the program's name.

    Raises:
        UserError: it is not as it should be.
    """
    values = own_flags()
    define_path(values, "out", "report", "`DIR` for report.md, its pictures, and report.html.")
    flags.DEFINE_string("title", "Report", "`TEXT` for the title of the report.", flag_values=values)
    flags.DEFINE_integer(
        "cases",
        2,
        "Shows the `N` best, N median and N worst tasks or objects; with 0 no model and no data are needed.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "points",
        "",
        "Number `P` of points per label that these are chosen and shown by, as 5; without it the headline of the "
        "evaluation.",
        flag_values=values,
    )
    runs, overrides = read_flags(argv, values, COMMAND)
    if not runs:
        raise UserError("no run is named: guided_jax report RUN ... [--out=DIR]")
    if values.cases < 0:
        raise UserError(f"--cases={values.cases}: at least 0")
    config = override(Config(), overrides, list(values))
    changed = differing(to_dict(Config()), to_dict(config))
    if other := [name for name in changed if name not in WHERE]:
        raise UserError(f"--config.{other[0]}: is the run's own; to be set here are {', '.join(WHERE)}")
    where = {name: getattr(config.data, name.partition(".")[2]) for name in changed}
    return ReportOptions(tuple(map(Path, runs)), Path(values.out), values.title, values.cases, values.points, where)


def make_sections(found: Sequence[Found], figures: FigureFolder, asked: ReportOptions) -> list[Section]:
    """The sections of a report: one for what can be compared."""
    kinds = {kind: [each for each in found if each.kind == kind] for kind in dict.fromkeys(e.kind for e in found)}
    sections, chosen = [], {"rows": asked.cases, "points": asked.points, "where": asked.where}
    for kind, results in kinds.items():
        if kind == "evaluation":
            sections += evaluation_sections(results, figures, partial(case_blocks, **chosen) if asked.cases else None)
        elif kind == "video":
            sections += video_sections(results, figures, partial(video_case_blocks, **chosen) if asked.cases else None)
        elif kind == "clicks":
            cases = partial(click_case_blocks, rows=asked.cases, where=asked.where) if asked.cases else None
            sections += click_sections(results, figures, cases)
        elif kind == "sweep":
            sections += [sweep_section(each, figures) for each in results]
        else:
            sections += [interactive_video_section(each, figures) for each in results]
    return sections


def write_report(asked: ReportOptions) -> list[Section]:
    """Writes `report.md`, the pictures and `report.html`; returns what is in them.

    Raises:
        UserError: a RUN is no run, a result is broken, or the folder cannot be written.
    """
    found = find_all(asked.runs)
    check_writable(asked.out, "--out")
    try:
        asked.out.mkdir(parents=True, exist_ok=True)
        sections = make_sections(found, FigureFolder(asked.out), asked)
        write_text(asked.out / "report.md", to_markdown(asked.title, sections))
        write_text(asked.out / "report.html", to_html(asked.title, sections, asked.out))
    except OSError as error:
        raise UserError(f"--out={asked.out}: cannot be written: {error}") from error
    return sections


def main(argv: Sequence[str]) -> None:
    """The command line.

    Raises:
        UserError: what a user can mend.
    """
    asked = parse(argv)
    sections = write_report(asked)
    for section in sections:
        print(section.title)
    print(f"written to {asked.out}: report.md with its pictures, report.html")


if __name__ == "__main__":
    sys.exit(start(main))
