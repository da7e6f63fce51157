"""Sections of video objects: J, F and J&F by object, accuracy over frames and over seconds, the paper's figures."""

from collections.abc import Callable, Sequence

import numpy as np

from experiments.drawing.lines import plot_lines
from experiments.evaluation.spread import Spread, mean, percent, spread
from experiments.evaluation.video_scores import NOTHING_SCORED
from experiments.reports.content import Block, FigureFolder, Picture, Section, Table, Text
from experiments.reports.evaluations import describe_protocol, published_table
from experiments.reports.found import Found, group_by_protocol
from experiments.reports.series import Series, join_seeds

SAME = ("data", "data_version", "names", "every", "scored", "void", "videos", "objects")
PARTS = ("j", "f")
BINS = 20


def video_sections(
    found: Sequence[Found],
    figures: FigureFolder,
    cases: Callable[[str, Found, FigureFolder], list[Block]] | None = None,
) -> list[Section]:
    """One section for the results on the same frames.

    Args:
        found: results of `experiments.video`.
        figures: for pictures.
        cases: gives the blocks of the best, median and worst objects of a result.
    """
    return [_section(group, figures, cases) for group in group_by_protocol(found, SAME)]


def _section(found: list[Found], figures: FigureFolder, cases: Callable | None) -> Section:
    title = f"Video objects on {found[0].result['protocol']['data']}"
    protocol = describe_protocol([each.result["protocol"] for each in found])
    series = _join_seeds(found)
    if not any(each.result["rows"] for each in found):
        return Section(title, [Text(f"{', '.join(each.label for each in series)}: {NOTHING_SCORED}.")], protocol)
    blocks: list[Block] = [_scores(series), *_over_frames(series, figures), *_over_seconds(series, figures)]
    blocks += published_table([(each.label, each.first) for each in series], "video")
    blocks += [table for each in series for table in _by_object(each)]
    for each in series if cases else ():
        blocks += cases(each.label, each.found[0], figures)
    return Section(title, blocks, protocol)


def _join_seeds(found: Sequence[Found]) -> list[Series]:
    """The seeds of a model under the same numbers of points together; labels are told apart by what differs.

    A network that is fitted to the annotated frames has the number of updates in its label, as `tuned 100`.
    """
    groups: dict[tuple[str, ...], list[Found]] = {}
    for each in found:
        groups.setdefault(tuple(each.result["scores"]), []).append(each)
    series = [each for group in groups.values() for each in join_seeds(group)]
    series.sort(key=lambda each: found.index(each.found[0]))
    return [each._replace(label=label) for each, label in zip(series, _labels(series), strict=True)]


def _labels(series: Sequence[Series]) -> list[str]:
    def parts(each: Series) -> list[str]:
        protocol, seeds = each.protocol, len(each.found)
        way = "union" if str(protocol.get("way", "")).startswith("union") else "softmax"
        steps = protocol.get("tuning", {}).get("steps")
        tuned = f"tuned {steps}" if steps else ""
        seed = f"seed {protocol.get('seed')}" if seeds == 1 else ""
        return [f"{protocol.get('shots', 1)}-shot", way, tuned, f"step {protocol.get('step')}", seed]

    def alike() -> bool:
        return len({(label, *each.points) for label, each in zip(labels, series, strict=True)}) < len(labels)

    rows = [parts(each) for each in series]
    varying = [i for i in range(len(rows[0])) if len({row[i] for row in rows}) > 1]
    told = [[row[i] for i in varying if row[i]] for row in rows]
    labels = [", ".join([each.label, *parts]) for each, parts in zip(series, told, strict=True)]
    if alike():
        labels = [f"{label}, {each.found[0].path.stem}" for label, each in zip(labels, series, strict=True)]
    if alike():
        labels = [f"{label} in {each.found[0].path.parent}" for label, each in zip(labels, series, strict=True)]
    return labels


def _score(series: Series, points: str, *names: str) -> Spread:
    """Of J&F, positive IU, or a part of J or F: mean and deviation over the seeds, of a single one over its draws."""
    entries = [each.result["scores"][points] for each in series.found]
    found = spread([entry[names[0]] if len(names) == 1 else entry[names[0]][names[1]] for entry in entries])
    if len(entries) == 1 and len(names) == 1:
        return found._replace(deviation=(entries[0].get("deviation") or {}).get(names[0]))
    return found


def _scores(series: Sequence[Series]) -> Table:
    rows = []
    for each in series:
        for points in each.points:
            values = [percent(*_score(each, points, "j_and_f")[:2])]
            for part in PARTS:
                values.append(percent(*_score(each, points, part, "mean")[:2]))
                values += [percent(_score(each, points, part, name).mean) for name in ("recall", "decay")]
            known = all("pos_iu" in found.result["scores"][points] for found in each.found)
            values.append(percent(*_score(each, points, "pos_iu")[:2]) if known else percent(None))
            rows.append((each.label, points, *values, *_speed(each), each.over))
    head = ("run", "points", "J&F", "J", "J recall", "J decay", "F", "F recall", "F decay", "positive IU", "s a video")
    caption = "J, F and positive IU x 100, means over objects as DAVIS counts them; time with reading"
    return Table((*head, "frames/s", "± over"), tuple(rows), caption)


def _seconds(series: Series) -> Spread | None:
    """Seconds a video, all annotations included; None where a seed was not timed."""
    speeds = [each.result.get("speed") for each in series.found]
    return spread([speed["seconds_per_video"] for speed in speeds]) if all(speeds) else None


def _speed(series: Series) -> tuple[str, str]:
    seconds = _seconds(series)
    if seconds is None:
        return "", ""
    frames = mean([each.result["speed"]["frames_per_second"] for each in series.found])
    return f"{seconds.mean:.2f}" + ("" if seconds.deviation is None else f" ± {seconds.deviation:.2f}"), f"{frames:.3g}"


def _over_frames(series: Sequence[Series], figures: FigureFolder) -> list[Picture]:
    lines = {}
    for each in series:
        for points in each.points:
            rows = [row for found in each.found for row in found.result["rows"] if row["points"] == points]
            if tracks := [row["j_by_frame"] for row in rows if len(row["j_by_frame"]) > 1]:
                lines[f"{each.label}, {points}"] = mean_track(tracks)
    if not lines:
        return []
    path = figures.new("frames")
    plot_lines(
        path, lines, across="position among the scored frames [0 first, 1 last]", up="J, mean over objects [0 to 1]"
    )
    return [Picture(path.name, "J over the length of the videos, mean over objects")]


def mean_track(tracks: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """The mean of scores by frame over videos of any length, at evenly spaced shares of the length."""
    positions = np.linspace(0, 1, BINS)
    values = [np.interp(positions, np.linspace(0, 1, len(track)), track) for track in tracks]
    return [(float(position), float(value)) for position, value in zip(positions, np.mean(values, axis=0), strict=True)]


def _over_seconds(series: Sequence[Series], figures: FigureFolder) -> list[Picture]:
    """Nothing where there is nothing to compare: a single result that was timed."""
    timed = [(each, seconds) for each in series if (seconds := _seconds(each))]
    lines, spreads = {}, {}
    for each, seconds in timed:
        for points in each.points:
            j = _score(each, points, "j", "mean")
            if j.mean is not None:
                label = f"{each.label}, {points}"
                lines[label], spreads[label] = [(seconds.mean, j.mean)], [j.deviation]
    if len(timed) < 2 or not lines:
        return []
    path = figures.new("seconds")
    text = {
        "across": "seconds a video [log scale]",
        "up": "J, mean over objects [0 to 1]",
        "title": "accuracy over time",
    }
    plot_lines(path, lines, **text, spreads=spreads, joined=False, logarithmic=True)
    told = "J over the time of a video, all its annotations included (the paper's figure 7)"
    return [Picture(path.name, f"{told}; bars: standard deviation over seeds")]


def _by_object(series: Series) -> list[Table]:
    points = series.points
    cells: dict[tuple[str, int], dict[str, list[dict]]] = {}
    for row in (row for found in series.found for row in found.result["rows"]):
        cells.setdefault((row["video"], row["object"]), {}).setdefault(row["points"], []).append(row)
    rows = []
    for (video, name), by_points in cells.items():
        values = []
        for count in points:
            values += [
                _mean([row["j"]["mean"] for row in by_points.get(count, [])]),
                _mean([row["f"]["mean"] for row in by_points.get(count, [])]),
                _mean([row["j_and_f"] for row in by_points.get(count, [])]),
            ]
        rows.append((values[-1], (video, str(name), *map(percent, values))))
    rows.sort(key=lambda row: -1 if row[0] is None else row[0], reverse=True)
    head = ("video", "object", *(f"{what}, {count}" for count in points for what in ("J", "F", "J&F")))
    return [Table(head, tuple(cells for _, cells in rows), f"{series.label}: objects from best to worst, x 100")]


def _mean(values: Sequence[float]) -> float | None:
    return mean(values) if values else None
