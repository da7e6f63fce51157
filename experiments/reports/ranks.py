"""Which cases of a ranking are shown, and what stands beside them."""

import textwrap
from collections.abc import Sequence

LETTERS = 30
"""Letters that fit beside a square panel, written upwards."""


def choose_cases(number: int, rows: int) -> dict[str, list[int]]:
    """Positions in a ranking, from 0, of the best, median and worst cases: at most `rows` of each, none twice."""
    rows = max(min(rows, number // 3), 1 if number else 0)
    middle = max((number - rows) // 2, 0)
    wanted = {
        "best": list(range(rows)),
        "median": list(range(middle, middle + rows)),
        "worst": list(range(number - rows, number)),
    }
    seen: set[int] = set()
    chosen = {}
    for kind, positions in wanted.items():
        chosen[kind] = [position for position in positions if 0 <= position < number and position not in seen]
        seen.update(chosen[kind])
    return {kind: positions for kind, positions in chosen.items() if positions}


def row_title(lines: Sequence[str], size: Sequence[int]) -> str:
    """A title for the side of a row of a picture, in lines that its height holds: a longer one would shrink all panels.

    Args:
        lines: of the title; empty ones are left out.
        size: height and width of the row's image.
    """
    width = max(int(LETTERS * size[0] / size[1]), 8)
    return "\n".join(part for line in lines if line for part in textwrap.wrap(line, width))
