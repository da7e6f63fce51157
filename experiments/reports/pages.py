"""A report as Markdown, and as a single HTML file that needs nothing but a browser."""

import base64
import html
import io
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from experiments.reports.content import Block, Picture, Section, Table, Text

WIDTH = 1200
"""Of the page, in CSS pixels."""

QUALITY = 85

LONG = 24
"""Letters of a cell that may break into lines."""

NUMBER = re.compile(r"[-+~±.,%\d\s]*")

STYLE = f"""\
:root {{ color-scheme: light dark; --text: #1a1a1a; --page: #fff; --faint: #555; --line: #e0e0e0; --strong: #888; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --text: #e6e6e6; --page: #16181b; --faint: #a8adb3; --line: #33373c; --strong: #767c83; }}
}}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: {WIDTH}px;
  margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.6rem; }} h2 {{ font-size: 1.25rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line); }}
a {{ color: inherit; }}
div.table {{ margin: 1.5rem 0; }} div.wide {{ overflow-x: auto; }}
p.caption, figcaption {{ color: var(--faint); margin: 0; padding: .3rem 0; max-width: 50rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }}
th, td {{ padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }}
th {{ border-bottom: 1px solid var(--strong); vertical-align: bottom; }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0; }}
th.name, td.name, th.words, td.words {{ text-align: left; }}
td.words {{ white-space: normal; min-width: 10rem; }}
figure {{ margin: 1.5rem 0; }} figure img {{ max-width: 100%; height: auto; background: #fff; }}
summary {{ cursor: pointer; color: var(--faint); }} nav li {{ margin: .1rem 0; }}
@media (max-width: 40rem) {{
  body {{ margin: 1rem auto; }} th, td {{ padding: .2rem .4rem; }} figure img {{ max-width: none; width: 40rem; }}
}}
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
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{html.escape(title)}</title><style>\n{STYLE}</style>"
    start = f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>\n'
    return start + "\n".join(body) + "\n</body>\n</html>\n"


def _html(block: Block, folder: Path) -> str:
    if isinstance(block, Text):
        return f"<p>{html.escape(block.text)}</p>"
    if isinstance(block, Table):
        return _html_table(block)
    kind, data, (width, height) = embed_picture(folder / block.file, photo=block.photo)
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    caption = html.escape(block.caption)
    image = f'<img src="{source}" width="{width}" height="{height}" alt="{caption}">'
    return f"<figure><div class='wide'>{image}</div><figcaption>{caption}</figcaption></figure>"


def embed_picture(path: Path, *, photo: bool) -> tuple[str, bytes, tuple[int, int]]:
    """A picture as a page holds it: its format, its bytes, and its width and height in pixels.

    Args:
        path: of the PNG file.
        photo: whether it shows photographs: these become WebP, no wider than the page, a tenth of the PNG; lines stay.
    """
    with Image.open(path) as image:
        if not photo:
            return "png", path.read_bytes(), image.size
        shown, buffer = image.convert("RGB"), io.BytesIO()
    if shown.width > WIDTH:
        shown = shown.resize((WIDTH, round(shown.height * WIDTH / shown.width)), Image.Resampling.LANCZOS)
    shown.save(buffer, "WEBP", quality=QUALITY)
    return "webp", buffer.getvalue(), shown.size


def _html_table(table: Table) -> str:
    caption = f'<p class="caption">{html.escape(table.caption)}</p>' if table.caption else ""
    kinds = [_class([row[i] for row in table.rows]) for i in range(len(table.head))]
    cells = zip(table.head, kinds, strict=True)
    head = "".join(f'<th scope="col"{kind}>{html.escape(cell)}</th>' for cell, kind in cells)
    lines = (
        "".join(f"<td{kind}>{html.escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
        for row in table.rows
    )
    rows = "".join(f"<tr>{line}</tr>\n" for line in lines)
    whole = f"<table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table>"
    return f'<div class="table">{caption}<div class="wide">{whole}</div></div>'


def _class(cells: Sequence[str]) -> str:
    """How a column is set: numbers flush right, names flush left, sentences broken into lines, too."""
    if any(len(cell) > LONG for cell in cells):
        return ' class="words"'
    return "" if all(NUMBER.fullmatch(cell) for cell in cells) else ' class="name"'
