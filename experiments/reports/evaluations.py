"""Sections of evaluations: accuracy over points and over shots, per class, and under the published accumulations."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.drawing.curves import plot_curves
from experiments.drawing.lines import plot_lines
from experiments.drawing.pictures import as_points
from experiments.evaluation.spread import mean, percent, spread
from experiments.reports.content import FigureFolder, Picture, Section, Table, Text, per_label
from experiments.reports.found import Found
from experiments.reports.published import fold_of, published_for
from experiments.reports.series import Series, join_seeds, pool_shots, split_by_protocol

SCORES = {"pos_iu": "Positive IU x 100, pooled over tasks", "class_mean": "Mean over classes of positive IU x 100"}

Cases = Callable[[Series, FigureFolder], list]
"""Gives the blocks of best, median and worst cases of a series."""


def evaluation_sections(found: Sequence[Found], figures: FigureFolder, cases: Cases | None = None) -> list[Section]:
    """One section a protocol, and the mean over folds where several were evaluated.

    Args:
        found: evaluations.
        figures: for pictures.
        cases: for the first series of each section.
    """
    groups = split_by_protocol(join_seeds(found))
    sections = [_section(group, figures, cases) for group in groups]
    return sections + _fold_section([each for group in groups for each in group])


def _section(series: list[Series], figures: FigureFolder, cases: Cases | None) -> Section:
    protocol = series[0].protocol
    classes = protocol.get("chosen_classes", "all")
    title = f"{protocol.get('mode', '')} tasks on {protocol['data']}".strip().capitalize()
    title += f", {classes}" if classes != "all" else ""
    blocks = [*_warnings(series)]
    blocks += [_over_points(series, name, caption) for name, caption in SCORES.items()]
    curve = figures.new("points")
    _plot_points(curve, series, title)
    blocks.append(Picture(curve.name, "Positive IU over points per label and support image; bars: standard deviation"))
    blocks += _over_shots(series, figures)
    blocks += _accumulations(series)
    blocks += published_table([(each.label, each.first) for each in series], "evaluation")
    blocks += _by_class(series)
    for each in series if cases else ():
        blocks += cases(each, figures)
    return Section(title, blocks, describe_protocol([each.protocol for each in series]))


def _warnings(series: Sequence[Series]) -> list[Text]:
    told = []
    for each in series:
        told += warn_forced(each.label, each.protocol)
        if not each.found[0].result.get("protocol", {}).get("limit") and each.protocol.get("left_out_classes"):
            names = ", ".join(each.protocol["left_out_classes"])
            told.append(Text(f"{each.label}: left out for lack of support images: {names}."))
    return told


def warn_forced(label: str, protocol: Mapping[str, Any]) -> list[Text]:
    """A line where a fold was evaluated that the model was, or may have been, trained on."""
    if not protocol.get("forced"):
        return []
    seen = protocol["seen_in_training"]
    what = "unknown classes" if seen == "unknown" else f"the evaluated {', '.join(seen)}"
    return [Text(f"{label}: forced; the model was trained on {what}, so nothing was held out.")]


def all_points(series: Sequence[Series]) -> list[str]:
    """The numbers of points of several series, rising, `dense` and others last."""
    names = dict.fromkeys(name for each in series for name in each.points)
    return sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0))


def _over_points(series: Sequence[Series], name: str, caption: str) -> Table:
    points = all_points(series)
    rows = []
    for each in series:
        cells = []
        for count in points:
            score = each.scores(count, name) if count in each.points else None
            cells.append(percent(score.mean, score.deviation) if score else "")
        rows.append((each.label, *cells, each.over))
    return Table(("run", *points, "± over"), tuple(rows), f"{caption}, by points per label and support image")


def _plot_points(path, series: Sequence[Series], title: str) -> None:
    def numbered(each: Series) -> list[str]:
        return [name for name in each.points if name.isdigit() or name == "dense"]

    curves = {each.label: as_points({p: each.scores(p, "pos_iu").mean for p in numbered(each)}) for each in series}
    spreads = {
        each.label: as_points(
            {p: score.deviation for p in numbered(each) if (score := each.scores(p, "pos_iu")).deviation is not None}
        )
        for each in series
    }
    curves = {label: curve for label, curve in curves.items() if curve}
    if curves:
        plot_curves(path, curves, spreads={label: spreads[label] for label in curves}, title=title)
        return
    # Masks of someone else: how many points they were guided by is not known.
    lines = {each.label: [(1.0, each.scores(each.points[0], "pos_iu").mean)] for each in series}
    plot_lines(path, lines, across="masks", up="positive IU [0 to 1]", title=title)


def _over_shots(series: Sequence[Series], figures: FigureFolder) -> list[Picture]:
    pictures = []
    for name, members in pool_shots(series).items():
        common = [points for points in all_points(members) if all(points in each.points for each in members)]
        lines, spreads = {}, {}
        for points in common:
            scores = [(each.protocol.get("shots", 1), each.scores(points, "pos_iu")) for each in members]
            label = per_label(points)
            lines[label] = [(shots, score.mean) for shots, score in scores]
            spreads[label] = [score.deviation for _, score in scores]
        if lines:
            path = figures.new("shots")
            plot_lines(
                path, lines, across="shots [support images]", up="positive IU [0 to 1]", title=name, spreads=spreads
            )
            pictures.append(Picture(path.name, f"{name}: positive IU over shots"))
    return pictures


def _accumulations(series: Sequence[Series]) -> list[Table]:
    rows, names = [], []
    for each in series:
        for points in each.points:
            tables = [found.result["scores"][points].get("accumulations") for found in each.found]
            if not all(tables):
                continue
            names = names or list(tables[0])
            cells = [_mean_cell([table[name] for table in tables], "iou") for name in names]
            both = [_mean_cell([table[name] for table in tables], "fb_iou") for name in ("panet", "hsnet")]
            rows.append((each.label, points, *cells, *both))
    if not rows:
        return []
    head = ("run", "points", *(f"mIoU, {name}" for name in names), "FB-IoU, panet", "FB-IoU, hsnet and pfenet")
    caption = "The same predictions as the published codes accumulate them (x 100); reference: pooled over classes"
    return [Table(head, tuple(rows), caption)]


def _mean_cell(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    found = spread([row[name] for row in rows])
    deviation = rows[0].get("deviation") if len(rows) == 1 and name == "iou" else found.deviation
    return percent(found.mean, deviation)


def published_table(results: Sequence[tuple[str, Mapping[str, Any]]], kind: str) -> list[Table]:
    """Published figures beside ours; nothing where none is of the same task.

    Args:
        results: by label.
        kind: of the results.
    """
    rows = []
    for label, result in results:
        for each in published_for(kind, result):
            rows.append((each.what, each.figure, each.ours(result) or "-", label, each.protocol, each.source))
    if not rows:
        return []
    head = ("measured", "published", "ours", "run", "published under", "source")
    return [Table(head, tuple(rows), "Published figures beside ours, and what they were published under")]


def headline_of(series: Series, config: Mapping[str, Any] | None = None) -> str:
    """The number of points that stands for a series: the configuration's headline, or its first."""
    headline = (config or {}).get("eval", {}).get("headline") or ""
    return headline if headline in series.points else series.points[0]


def _by_class(series: Sequence[Series]) -> list[Table]:
    points = _common_headline(series)
    tables = [
        {
            name: mean([found.result["scores"][points]["classes"][name] for found in each.found])
            for name in each.first["scores"][points].get("classes", {})
            if all(name in found.result["scores"][points]["classes"] for found in each.found)
        }
        if points in each.points
        else {}
        for each in series
    ]
    classes = [name for name in dict.fromkeys(name for table in tables for name in table) if name != "all"]
    if len(classes) < 2:
        return []
    rows = tuple((name, *(percent(table.get(name)) for table in tables)) for name in classes)
    caption = f"Positive IU x 100 of each class, {per_label(points)}"
    return [Table(("class", *(each.label for each in series)), rows, caption)]


def _common_headline(series: Sequence[Series]) -> str:
    wanted = [headline_of(each, each.first.get("about", {}).get("config")) for each in series]
    common = [points for points in all_points(series) if all(points in each.points for each in series)]
    return next((points for points in wanted if points in common), common[0] if common else wanted[0])


def describe_protocol(protocols: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The entries that all protocols share, as text; lists of names with commas."""
    first = protocols[0]
    shared = {name: value for name, value in first.items() if all(each.get(name) == value for each in protocols)}
    return {name: _text(value) for name, value in shared.items() if value not in (None, [], "")}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_text(each)}" for name, each in value.items())
    return str(value)


def _fold_section(series: Sequence[Series]) -> list[Section]:
    """PASCAL-5i's folds, and their mean, which is what publications report."""
    groups: dict[tuple, dict[int, Series]] = {}
    for each in series:
        fold = fold_of(each.protocol)
        if fold is None:
            continue
        name = re.sub(rf"(?<!\d){fold}(?!\d)", "FOLD", each.found[0].name)
        key = (name, each.protocol.get("shots", 1), each.protocol.get("data"), each.protocol.get("episodes"))
        groups.setdefault(key, {})[fold] = each
    blocks = []
    for (name, shots, data, _), members in groups.items():
        folds = sorted(members)
        if len(folds) < 2:
            continue
        chosen = [members[fold] for fold in folds]
        common = [points for points in all_points(chosen) if all(points in each.points for each in chosen)]
        title = f"mean of {len(folds)}" + ("" if len(folds) == 4 else " (the published mean is of 4)")
        rows = []
        for points in common:
            values = [each.scores(points, "class_mean").mean for each in chosen]
            rows.append((points, *map(percent, values), percent(mean(values))))
        head = ("points per label", *(f"fold {fold}" for fold in folds), title)
        caption = f"{name}, {shots}-shot, on {data}: mean over the classes of a fold of positive IU x 100"
        blocks.append(Table(head, tuple(rows), caption))
    return [Section("PASCAL-5i by folds", blocks, {})] if blocks else []
