"""Sections of clicks (NoC, mean IoU after k clicks) and of annotators of videos (S x P, corrections)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.drawing.lines import plot_lines
from experiments.evaluation.spread import percent
from experiments.reports.click_cases import rank_objects
from experiments.reports.content import Block, FigureFolder, Picture, Section, Table, Text
from experiments.reports.evaluations import describe_protocol, warn_forced
from experiments.reports.found import Found, group_by_protocol
from experiments.reports.ranks import choose_cases
from guided_jax.scoring.clicks import extend

SHOWN = (1, 2, 3, 5, 10, 15, 20, 30, 50, 100)
SAME = ("data", "data_version", "unit", "classes", "lists", "objects", "limit", "clicks", "max_side", "min_area")
CASES = 3
"""Objects of each kind in the table of the best, median and worst."""


def click_sections(
    found: Sequence[Found],
    figures: FigureFolder,
    cases: Callable[[str, Found, FigureFolder], list[Block]] | None = None,
) -> list[Section]:
    """One section for the results on the same objects.

    Args:
        found: results of `experiments.clicks`.
        figures: for pictures.
        cases: gives the blocks of the best, median and worst objects of a result.
    """
    return [_click_section(group, figures, cases) for group in group_by_protocol(found, SAME)]


def _click_section(found: list[Found], figures: FigureFolder, cases: Callable | None) -> Section:
    labels, results = unique_labels(found), [each.result for each in found]
    targets = list(dict.fromkeys(target for each in results for target in each["scores"]["noc"]))
    limit = results[0]["protocol"]["clicks"]
    rows = []
    for label, each in zip(labels, results, strict=True):
        scores, times = each["scores"], each.get("times", {})
        noc = [f"{scores['noc'][t]:.2f}" if t in scores["noc"] else "" for t in targets]
        at_limit = [str(scores["at_limit"].get(t, "")) for t in targets]
        shown = times.get("click_ms_median")
        rows.append((label, *noc, *at_limit, "" if shown is None else f"{shown:.1f}"))
    head = ("run", *(f"NoC@{t}" for t in targets), *(f"at limit, {t}" for t in targets), "ms a click")
    blocks: list[Block] = [
        text for label, each in zip(labels, results, strict=True) for text in warn_forced(label, each["protocol"])
    ]
    caption = (
        f"Mean number of clicks until the IoU (NoC), and how many of the {results[0]['protocol']['objects']} objects"
    )
    blocks.append(Table(head, tuple(rows), f"{caption} took the limit of {limit} clicks"))
    clicks = [number for number in SHOWN if number <= limit]
    ious = tuple(
        (label, *(percent(each["scores"]["mean_iou"][k - 1]) for k in clicks))
        for label, each in zip(labels, results, strict=True)
    )
    blocks.append(Table(("clicks", *map(str, clicks)), ious, "Mean IoU x 100 after so many clicks"))
    path = figures.new("clicks")
    lines = {
        label: [(k + 1, value) for k, value in enumerate(each["scores"]["mean_iou"])]
        for label, each in zip(labels, results, strict=True)
    }
    plot_lines(path, lines, across="clicks", up="mean IoU [0 to 1]")
    blocks.append(Picture(path.name, "Mean IoU over clicks"))
    if all("click_ms_mean" in each.get("times", {}) for each in results):
        path = figures.new("seconds")
        timed = {
            label: [
                ((k * each["times"]["click_ms_mean"] + each["times"]["encode_ms_median"]) / 1000, value)
                for k, value in lines[label]
            ]
            for label, each in zip(labels, results, strict=True)
        }
        plot_lines(path, timed, across="seconds of computation an object, its image's encoding included",
                   up="mean IoU [0 to 1]")  # fmt: skip
        blocks.append(Picture(path.name, "Mean IoU over the time of computation"))
    blocks += [_click_cases(label, each, clicks) for label, each in zip(labels, results, strict=True)]
    for label, each in zip(labels, found, strict=True) if cases else ():
        blocks += cases(label, each, figures)
    title = f"Clicks on {results[0]['protocol']['data']}"
    return Section(title, blocks, describe_protocol([each["protocol"] for each in results]))


def _click_cases(label: str, result: Mapping[str, Any], clicks: Sequence[int]) -> Table:
    ranked, limit = rank_objects(result), result["protocol"]["clicks"]
    rows = []
    for kind, chosen_rows in choose_cases(len(ranked), CASES).items():
        for row, number, _ in (ranked[i] for i in chosen_rows):
            ious = extend(row["ious"], limit)
            cells = (percent(float(ious[k - 1])) for k in clicks)
            rows.append((kind, f"{row['image']} {row['object']}".strip(), f"{number:.1f}", *cells))
    head = ("case", "object", "NoC", *map(str, clicks))
    caption = f"{label}: single objects; NoC is the mean over the IoU targets, then IoU x 100 after so many clicks"
    return Table(head, tuple(rows), caption)


def interactive_video_section(found: Found, figures: FigureFolder) -> Section:
    """Accuracy over S frames and P points, and over corrections."""
    protocol, scores, times = (found.result[name] for name in ("protocol", "scores", "times"))
    cells = {(each["frames"], each["points"]): each for each in scores["grid"]}
    frames, points = (list(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
    blocks: list[Block] = []
    for key, name in (("pos_iu", "Positive IU"), ("j", "J")):
        rows = []
        for s in frames:
            row = [cells.get((s, p)) for p in points]
            rows.append((str(s), *(_with_deviation(each, key) if each else "" for each in row)))
        caption = f"{name} x 100 by annotated frames S (down) and points per label and frame P (across)"
        blocks.append(Table(("S", *(f"P = {p}" for p in points)), tuple(rows), caption))
    path = figures.new("annotations")
    lines = {
        f"P = {p}": [(s * p, cells[s, p]["pos_iu"]) for s in frames if (s, p) in cells]
        for p in points
    }  # fmt: skip
    plot_lines(path, lines, across="dots per label, S x P", up="positive IU [0 to 1]")
    blocks.append(Picture(path.name, "Positive IU as annotations arrive, over both S and P"))
    if curve := scores.get("corrections"):
        path = figures.new("corrections")
        lines = {
            "positive IU": [(each["dots"], each["pos_iu"]) for each in curve],
            "J": [(each["dots"], each["j"]) for each in curve],
        }
        plot_lines(path, lines, across="dots, each put where the worst frame is wrong", up="accuracy [0 to 1]")
        blocks.append(Picture(path.name, "Accuracy over corrections"))
        shown = [each for each in curve if each["dots"] in SHOWN]
        rows = [
            (name, *(percent(each[key]) for each in shown)) for name, key in (("positive IU", "pos_iu"), ("J", "j"))
        ]
        blocks.append(Table(("dots", *(str(each["dots"]) for each in shown)), tuple(rows), "Corrections, x 100"))
    frame = times.get("frame_ms")
    told = f"A dot takes {times['update_ms']:.1f} ms to the mask of its frame"
    told += f", {frame:.1f} ms to that of each other frame" if frame is not None else ""
    blocks.append(Text(f"{told}; encoding, once a frame: {times['encode_ms_per_frame']:.0f} ms."))
    title = f"Interactive video on {protocol['data']}, {found.name}"
    return Section(title, blocks, describe_protocol([protocol]))


def _with_deviation(cell: dict, key: str) -> str:
    return percent(cell[key], (cell.get("deviation") or {}).get(key))


def unique_labels(found: Sequence[Found]) -> list[str]:
    """Names of results; where they are alike, with the step, then the folder."""
    labels = [each.name for each in found]
    for part in (
        lambda each: f"step {each.result['protocol'].get('step')}",
        lambda each: f"seed {each.result['protocol'].get('seed')}",
        lambda each: str(each.path),
    ):
        if len(set(labels)) == len(labels):
            break
        values = [part(each) for each in found]
        if len(set(values)) > 1:
            labels = [f"{label}, {value}" for label, value in zip(labels, values, strict=True)]
    return labels
