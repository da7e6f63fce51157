"""The section of a sweep: its table as it stands, and accuracy over points a line a variant."""

from experiments.drawing.lines import plot_lines
from experiments.reports.content import FigureFolder, Picture, Section, Table, Text
from experiments.reports.evaluations import describe_protocol
from experiments.reports.found import Found
from experiments.sweeping.tables import plot_table, to_markdown


def sweep_section(found: Found, figures: FigureFolder) -> Section:
    """The variants of a sweep, with means and deviations over their seeds."""
    table = found.result
    title = f"Sweep {found.path.resolve().parent.name}"
    if not any(row["scores"] for row in table["variants"]):
        return Section(title, [Text(part) for part in to_markdown(table).split("\n\n")], {})
    text, *remarks = to_markdown(table).split("\n\n")
    head, _, *lines = (tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines())
    blocks = [Table(head, tuple(lines)), *map(Text, remarks)]
    path = figures.new("sweep")
    plot_table(path, table)
    blocks.append(Picture(path.name, "Positive IU over points per label; bars: standard deviation over seeds"))
    rows = [row for row in table["variants"] if row["scores"]]
    if times := _over_time(rows):
        path = figures.new("time")
        middle = _middle(rows)
        plot_lines(
            path,
            times,
            across="seconds from points to mask [log scale]",
            up=f"positive IU at {middle} points [0 to 1]",
            title="accuracy over time",
            joined=False,
            logarithmic=True,
        )
        text = f"Accuracy at {middle} points per label over the time from points to mask: of a click, or of fine-tuning"
        blocks.append(Picture(path.name, text))
    return Section(title, blocks, describe_protocol([row["protocol"] for row in rows]))


def _middle(rows: list[dict]) -> str:
    common = [points for points in rows[0]["scores"] if all(points in row["scores"] for row in rows)]
    return common[len(common) // 2] if common else ""


def _over_time(rows: list[dict]) -> dict[str, list[tuple[float, float]]]:
    """Seconds and accuracy by variant: of a click with the image encoded before, or of fine-tuning, if there is any."""
    middle, found = _middle(rows), {}
    for row in rows if middle else []:
        if tuned := row.get("tuning_seconds"):
            seconds = tuned["mean"]
        else:
            seconds = ((row.get("click") or {}).get("update_ms") or 0) / 1000
        if seconds:
            found[row["name"]] = [(seconds, row["scores"][middle]["mean"])]
    return found
