"""A report as Markdown, and as a single HTML file that needs nothing but a browser."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path

from experiments.reports.content import Block, Picture, Section, Table, Text

STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
div.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: #555; padding: .3rem 0; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #e4e4e4; text-align: right; white-space: nowrap; }
th { border-bottom: 1px solid #888; } th:first-child, td:first-child { text-align: left; }
td.words { text-align: left; white-space: normal; }
figure { margin: 1rem 0; } figure img { max-width: 100%; height: auto; } figcaption { color: #555; }
summary { cursor: pointer; color: #555; } nav li { margin: .1rem 0; }
"""


def to_markdown(title: str, sections: Sequence[Section]) -> str:
    """The report as Markdown; pictures are files beside it."""
    lines = [f"# {_inline(title)}", ""]
    for section in sections:
        lines += [f"## {_inline(section.title)}", ""]
        for block in section.blocks:
            lines += [_markdown(block), ""]
        if section.protocol:
            lines += ["Protocol, the same for all of these:", ""]
            lines += [f"- {_inline(name)}: {_inline(value)}" for name, value in section.protocol.items()] + [""]
    return "\n".join(lines)


def _markdown(block: Block) -> str:
    if isinstance(block, Text):
        return _inline(block.text)
    if isinstance(block, Picture):
        return f"![{_inline(block.caption)}]({block.file})\n\n*{_inline(block.caption)}*"
    lines = [block.head, ["---"] * len(block.head), *block.rows]
    table = "\n".join("| " + " | ".join(_inline(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{_inline(block.caption)}\n\n{table}" if block.caption else table


def _inline(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return "".join(f"\\{letter}" if letter in "\\`*_<[" else letter for letter in " ".join(str(text).split()))


def to_html(title: str, sections: Sequence[Section], folder: Path) -> str:
    """The report as a page with its pictures inside.

    Args:
        title: of the report.
        sections: of the report.
        folder: where the pictures are.
    """
    body = [f"<h1>{html.escape(title)}</h1>"]
    if len(sections) > 1:
        links = "".join(f'<li><a href="#s{i}">{html.escape(each.title)}</a></li>' for i, each in enumerate(sections))
        body.append(f"<nav><ul>{links}</ul></nav>")
    for i, section in enumerate(sections):
        body.append(f'<section id="s{i}"><h2>{html.escape(section.title)}</h2>')
        body += [_html(block, folder) for block in section.blocks]
        if section.protocol:
            rows = tuple((name, str(value)) for name, value in section.protocol.items())
            table = _html_table(Table(("entry", "value"), rows))
            body.append(f"<details><summary>Protocol, the same for all of these</summary>{table}</details>")
        body.append("</section>")
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>\n{STYLE}</style>'
    start = f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>\n'
    return start + "\n".join(body) + "\n</body>\n</html>\n"


def _html(block: Block, folder: Path) -> str:
    if isinstance(block, Text):
        return f"<p>{html.escape(block.text)}</p>"
    if isinstance(block, Table):
        return _html_table(block)
    data = base64.b64encode((folder / block.file).read_bytes()).decode("ascii")
    caption = html.escape(block.caption)
    image = f'<img src="data:image/png;base64,{data}" alt="{caption}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _html_table(table: Table) -> str:
    caption = f"<caption>{html.escape(table.caption)}</caption>" if table.caption else ""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
    rows = "".join(f"<tr>{''.join(map(_html_cell, row))}</tr>\n" for row in table.rows)
    return f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>'


def _html_cell(cell: str) -> str:
    kind = ' class="words"' if len(cell) > 24 else ""
    return f"<td{kind}>{html.escape(cell)}</td>"
