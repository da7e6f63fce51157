"""Sections of video objects: J, F and J&F by object, accuracy over frames and over seconds, the paper's figures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.drawing.lines import plot_lines
from experiments.evaluation.spread import mean, percent
from experiments.evaluation.video_scores import NOTHING_SCORED
from experiments.reports.content import Block, FigureFolder, Picture, Section, Table, Text
from experiments.reports.evaluations import describe_protocol, published_table
from experiments.reports.found import Found, group_by_protocol

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
    labels = _labels(found)
    if not any(each.result["rows"] for each in found):
        return Section(title, [Text(f"{', '.join(labels)}: {NOTHING_SCORED}.")], protocol)
    rows = []
    for label, each in zip(labels, found, strict=True):
        for points, scores in each.result["scores"].items():
            deviation = (scores.get("deviation") or {}).get("j_and_f")
            values = [percent(scores[part][name]) for part in PARTS for name in ("mean", "recall", "decay")]
            cells = (percent(scores["j_and_f"], deviation), *values, percent(scores.get("pos_iu")))
            rows.append((label, points, *cells, *_speed(each.result.get("speed"))))
    head = ("run", "points", "J&F", "J", "J recall", "J decay", "F", "F recall", "F decay", "positive IU", "s a video")
    caption = "J, F and positive IU x 100, means over objects as DAVIS counts them; time with reading"
    blocks: list[Block] = [Table((*head, "frames/s"), tuple(rows), caption)]
    blocks += _over_frames(labels, found, figures)
    blocks += _over_seconds(labels, found, figures)
    blocks += published_table([(label, each.result) for label, each in zip(labels, found, strict=True)], "video")
    blocks += [table for label, each in zip(labels, found, strict=True) for table in _by_object(label, each.result)]
    for label, each in zip(labels, found, strict=True) if cases else ():
        blocks += cases(label, each, figures)
    return Section(title, blocks, protocol)


def _labels(found: Sequence[Found]) -> list[str]:
    def parts(each: Found) -> list[str]:
        protocol = each.result["protocol"]
        way = "union" if str(protocol.get("way", "")).startswith("union") else "softmax"
        return [f"{protocol.get('shots', 1)}-shot", way, f"step {protocol.get('step')}", f"seed {protocol.get('seed')}"]

    rows = [parts(each) for each in found]
    varying = [i for i in range(len(rows[0])) if len({row[i] for row in rows}) > 1]
    labels = [", ".join([each.name, *(row[i] for i in varying)]) for each, row in zip(found, rows, strict=True)]
    if len(set(labels)) < len(labels):
        labels = [f"{label}, {each.path.stem}" for label, each in zip(labels, found, strict=True)]
    if len(set(labels)) < len(labels):
        labels = [f"{label} in {each.path.parent}" for label, each in zip(labels, found, strict=True)]
    return labels


def _speed(speed: Mapping[str, Any] | None) -> tuple[str, str]:
    if not speed:
        return "", ""
    return f"{speed['seconds_per_video']:.2f}", f"{speed['frames_per_second']:.3g}"


def _over_frames(labels: Sequence[str], found: Sequence[Found], figures: FigureFolder) -> list[Picture]:
    lines = {}
    for label, each in zip(labels, found, strict=True):
        for points in each.result["scores"]:
            tracks = [row["j_by_frame"] for row in each.result["rows"] if row["points"] == points]
            if tracks := [track for track in tracks if len(track) > 1]:
                lines[f"{label}, {points}"] = mean_track(tracks)
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


def _over_seconds(labels: Sequence[str], found: Sequence[Found], figures: FigureFolder) -> list[Picture]:
    timed = [(label, each) for label, each in zip(labels, found, strict=True) if each.result.get("speed")]
    lines = {
        f"{label}, {points}": [(each.result["speed"]["seconds_per_video"], scores["j_and_f"])]
        for label, each in timed
        for points, scores in each.result["scores"].items()
    }
    if len(timed) < 2:
        return []
    path = figures.new("seconds")
    text = {"across": "seconds a video [log scale]", "up": "J&F [0 to 1]", "title": "accuracy over time"}
    plot_lines(path, lines, **text, joined=False, logarithmic=True)
    return [Picture(path.name, "J&F over the time of a video, all its annotations included (the paper's figure 7)")]


def _by_object(label: str, result: Mapping[str, Any]) -> list[Table]:
    points = list(result["scores"])
    cells: dict[tuple[str, int], dict[str, list[dict]]] = {}
    for row in result["rows"]:
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
    return [Table(head, tuple(cells for _, cells in rows), f"{label}: objects from best to worst, x 100")]


def _mean(values: Sequence[float]) -> float | None:
    return mean(values) if values else None
