"""Puts the tables of the results into the pages, between their markers.

    python -m docs.tools.tables [--check]

A page says `<!-- table NAME -->` and, below, `<!-- end of table -->`; what stands between the two is made from
`experiments/results/*.json`. With `--check` nothing is written, and a page that differs is named.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docs.tools import comparison_tables, result_tables, speed_tables
from docs.tools.pages import ROOT, find_pages

TABLES = result_tables.TABLES | comparison_tables.TABLES | speed_tables.TABLES
RESULTS = ROOT / "experiments" / "results"
BLOCK = re.compile(r"(<!-- table ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
MARKER = re.compile(r"<!-- (?:table|end of table)\b")


def read_results(folder: Path = RESULTS) -> dict[str, Any]:
    """The content of every file of results, by its name."""
    return {file.name: json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*.json"))}


def fill(text: str, results: Mapping[str, Any]) -> str:
    """A page with its tables made anew.

    Raises:
        ValueError: a marker names no table, or has no end.
    """

    def block(found: re.Match) -> str:
        name = found[2]
        if name not in TABLES:
            raise ValueError(f"no table is called {name}; there are: {', '.join(TABLES)}")
        source = TABLES[name]
        return f"{found[1]}\n{source.make(*(results[file] for file in source.files))}\n\n{found[3]}"

    filled, blocks = BLOCK.subn(block, text)
    markers = len(MARKER.findall(text))
    if markers != 2 * blocks:
        raise ValueError(f"{markers} markers of tables make {blocks} pairs: a beginning or an end is missing")
    return filled


def stale_pages(results: Mapping[str, Any]) -> dict[Path, str]:
    """The pages whose tables differ from the results, each with what it should be.

    Raises:
        ValueError: a page's markers are wrong; it is named.
    """
    stale = {}
    for page in find_pages():
        text = page.read_text("utf-8")
        try:
            filled = fill(text, results)
        except ValueError as error:
            raise ValueError(f"{page.relative_to(ROOT)}: {error}") from error
        if filled != text:
            stale[page] = filled
    return stale


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit code, 1 where `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m docs.tools.tables", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page differs")
    check = parser.parse_args(argv).check
    stale = stale_pages(read_results())
    for page, text in stale.items():
        print(f"{page.relative_to(ROOT)}: {'differs from the results; run make results' if check else 'written'}")
        if not check:
            page.write_text(text, "utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
