"""The tables of the documentation, each from a file in `experiments/results`.

A table is a function from the content of its file to Markdown. Scores are shown x 100, as the field does.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

from experiments.reports.published import FOLDS, MEANS


class Source(NamedTuple):
    """Where a table comes from.

    Attributes:
        files: names of the files in `experiments/results`.
        make: from their contents to Markdown.
    """

    files: tuple[str, ...]
    make: Callable[..., str]


def to_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; `head` names the columns."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(value: float) -> str:
    """A share as per cent: 0.4911 is 49.1, and 0.4755 is 47.6, though the nearest float lies below."""
    return str((100 * Decimal(str(value))).quantize(Decimal("0.1"), ROUND_HALF_UP))


def percent_spread(mean: float, deviation: float | None) -> str:
    """Mean and deviation as per cent: 38.3 ± 2.6."""
    return percent(mean) if deviation is None else f"{percent(mean)} ± {percent(deviation)}"


NAMES_INTERACTIVE = {
    "guided": "guided (`interactive`)",
    "unshared": "guided, a metric for each label (`interactive:unshared`)",
    "unguided": "unguided (`interactive:unguided`)",
    "untrained": "untrained",
}


def interactive(results: Mapping[str, Any]) -> str:
    """Positive IU by points per label."""
    points = ("1", "2", "5", "20", "64", "128", "dense")
    rows = []
    for key, name in NAMES_INTERACTIVE.items():
        scores = results[key]["scores"]
        rows.append([name, *(percent(scores[p]["pos_iu"]) for p in points), percent(scores["5"]["class_mean"])])
    return to_table(["", *points, "class mean at 5"], rows)


NAMES_CLICKS = {
    "unshared, random dots": "`interactive:unshared`, learnt from random dots",
    "fusion, corrections": "feature fusion with neighbours, learnt from corrections",
    "clicks": "`interactive:clicks`: distances, learnt from corrections",
}


def clicks(results: Mapping[str, Any]) -> str:
    """Number of clicks to a target, and IoU after so many clicks."""
    return clicks_table({name: results[key] for key, name in NAMES_CLICKS.items()})


def clicks_table(named: Mapping[str, Any]) -> str:
    """Results of clicks by the name of their row."""
    shown, rows = (1, 2, 3, 5, 10, 20), []
    for name, result in named.items():
        scores, times = result["scores"], result["times"]
        reached = [f"{scores['noc'][target]:.2f}" for target in ("80", "85", "90")]
        after = [percent(scores["mean_iou"][k - 1]) for k in shown]
        rows.append([name, *reached, *after, f"{times['click_ms_median']:.1f}"])
    return to_table(["", "NoC@80", "@85", "@90", *map(str, shown), "ms a click"], rows)


POINTS_FEW_SHOT = ("1", "2", "5", "10", "20", "50", "dense")


NAMES_FEW_SHOT = {
    "2-unguided": "the floor, which sees no support",
    "2": "the paper's head",
    "2-decoder": "the decoder",
    "2-instances": "the paper's head, from instances",
    "2-decoder-instances": "the decoder, from instances",
}


def few_shot(results: Mapping[str, Any]) -> str:
    """Positive IU and mIoU of the held-out fold."""

    def pooled(key: str) -> list[str]:
        scores = results[key]["scores"]
        return [percent_spread(scores[p]["pos_iu"], scores[p]["deviation"]["pos_iu"]) for p in POINTS_FEW_SHOT]

    def summed(key: str) -> list[str]:
        each = [results[key]["scores"][p]["accumulations"]["hsnet"] for p in POINTS_FEW_SHOT]
        return [percent_spread(one["iou"], one["deviation"]) for one in each]

    rows = [
        [f"{measure}: {name} (`few_shot:{key}`)", *make(key)]
        for measure, make in (("positive IU", pooled), ("mIoU", summed))
        for key, name in NAMES_FEW_SHOT.items()
    ]
    unknown = [""] * (len(POINTS_FEW_SHOT) - 1)
    published = {f"{name}, fold 2": folds[2] for (name, shots), folds in FOLDS.items() if shots == 1}
    published |= {f"{name}, mean of the folds": mean for (_, shots), (name, mean, _) in MEANS.items() if shots == 1}
    rows += [[f"mIoU, published: {name}", *unknown, f"{figure:.1f}"] for name, figure in published.items()]
    return to_table(["", *POINTS_FEW_SHOT], rows)


SEEDS_FEW_SHOT = {"2-decoder": "1337", "2-decoder-seed-1": "1", "2-decoder-seed-2": "2"}


def few_shot_seeds(results: Mapping[str, Any]) -> str:
    """Three trainings of the decoder, each by the mean over its draws, and their mean and deviation."""
    shown = ("1", "5", "dense")
    values = [
        [results[key]["scores"][p]["pos_iu"] for p in shown]
        + [results[key]["scores"][p]["accumulations"]["hsnet"]["iou"] for p in shown]
        for key in SEEDS_FEW_SHOT
    ]
    rows = [[seed, *map(percent, each)] for seed, each in zip(SEEDS_FEW_SHOT.values(), values, strict=True)]
    spread = [percent_spread(statistics.mean(each), statistics.stdev(each)) for each in zip(*values, strict=True)]
    heads = [f"{measure}, {p}" for measure in ("positive IU", "mIoU") for p in shown]
    return to_table(["seed", *heads], [*rows, ["mean", *spread]])


def few_shot_classes(results: Mapping[str, Any]) -> str:
    """Positive IU of every class of the fold."""
    rows = []
    for key in ("2", "2-decoder", "2-decoder-instances"):
        scores = results[key]["scores"]
        for name in scores["1"]["classes"]:
            rows.append([f"{name}: `{key}`", *(percent(scores[p]["classes"][name]) for p in POINTS_FEW_SHOT)])
    return to_table(["", *POINTS_FEW_SHOT], rows)


NAMES_VIDEO = {
    "views": "`video_davis`: feature fusion, two views of an image",
    "clicks": "`interactive:clicks`: prototypes and nearest neighbours",
}


def video(results: Mapping[str, Any]) -> str:
    """DAVIS J and F by points per label."""
    rows = []
    for key, name in NAMES_VIDEO.items():
        of = {points: video_means(results[key], points) for points in ("1", "5", "dense")}
        dense, pooled = of["dense"], results[key]["scores"]["dense"]["pos_iu"]
        rows.append([name, *map(percent, [*(each["j"] for each in of.values()), dense["f"], dense["j_and_f"], pooled])])
    return to_table(["", "J 1", "J 5", "J dense", "F dense", "J&F dense", "positive IU dense"], rows)


NAMES_VIDEO_MEMORY = {"none": "frame by frame", "forward": "`--memory=forward`"}


def video_memory(results: Mapping[str, Any]) -> str:
    """Guidance that follows the clips beside frames on their own, under one model."""
    points, rows = ("1", "5", "dense"), []
    for key, name in NAMES_VIDEO_MEMORY.items():
        of = [video_means(results[key], each) for each in points]
        share = of[1]["j"] / of[2]["j"]
        rows.append([name, *(percent(each["j"]) for each in of), percent(of[2]["f"]), percent(of[2]["j_and_f"])])
        rows[-1].append(f"{percent(share)} %")
    head = ["", *(f"J {each}" for each in points), "F dense", "J&F dense", "J 5 / J dense"]
    return to_table(head, rows)


def video_memory_clips(results: Mapping[str, Any]) -> str:
    """J of every clip, frame by frame and with memory."""
    rows = []
    for clip in dict.fromkeys(row["video"] for row in results["none"]["rows"]):
        of_clip = [
            percent(statistics.fmean(row["j_by_frame"]))
            for points in ("1", "5", "dense")
            for key in NAMES_VIDEO_MEMORY
            for row in results[key]["rows"]
            if row["video"] == clip and row["points"] == points
        ]
        rows.append([clip, *of_clip])
    head = [f"{points}{each}" for points in ("1", "5", "dense") for each in ("", ", memory")]
    return to_table(["J", *head], rows)


def video_guide(results: Mapping[str, Any]) -> str:
    """J of every clip from few points by the guide that comes with the package, beside the trunk alone, and dense."""
    clips = list(dict.fromkeys(row["video"] for row in results["guide"]["rows"]))

    def j(key, points):
        rows = {row["video"]: row["j_by_frame"] for row in results[key]["rows"] if row["points"] == points}
        of_clips = [statistics.fmean(rows[clip]) for clip in clips]
        return [*of_clips, statistics.fmean(of_clips)]

    trunk, guide, dense = j("forward", "5"), j("guide", "5"), j("forward", "dense")
    rows = [
        ["the trunk alone, 1 point", *map(percent, j("forward", "1"))],
        ["`vgg16-decoder`, 1 point", *map(percent, j("guide", "1"))],
        ["the trunk alone, 5 points", *map(percent, trunk)],
        ["`vgg16-decoder`, 5 points", *map(percent, guide)],
        ["dense", *map(percent, dense)],
        [
            "share of dense, `vgg16-decoder`, 5 points",
            *(f"{percent(a / b)} %" for a, b in zip(guide, dense, strict=True)),
        ],
    ]
    return to_table(["J", *clips, "mean"], rows)


def video_means(result: Mapping[str, Any], points: str) -> dict[str, float]:
    """J, F and J&F: means over the frames of an object, then over the objects.

    From the frames, as the means in the file are rounded, and would be rounded twice.
    """
    objects = [row for row in result["rows"] if str(row["points"]) == points]
    j, f = (statistics.fmean(statistics.fmean(row[f"{key}_by_frame"]) for row in objects) for key in "jf")
    return {"j": j, "f": f, "j_and_f": (j + f) / 2}


def interactive_video_grid(results: Mapping[str, Any]) -> str:
    """J of random dots: a row a number of frames, a column a number of points."""
    cells = {(each["frames"], each["points"]): percent(each["j"]) for each in results["clicks"]["scores"]["grid"]}
    frames, points = (list(dict.fromkeys(each)) for each in zip(*cells, strict=True))
    rows = [[str(s), *(cells[s, p] for p in points)] for s in frames]
    return to_table(["S", *(f"P = {p}" for p in points)], rows)


def interactive_video_corrections(results: Mapping[str, Any]) -> str:
    """J after so many dots of the annotator who corrects."""
    after = {each["dots"]: percent(each["j"]) for each in results["clicks"]["scores"]["corrections"]}
    shown = (1, 2, 3, 5, 10, 15, 20)
    return to_table(["dots", *map(str, shown)], [["J", *(after[dots] for dots in shown)]])


NAMES_MODEL_SPACE = {
    "late-global": "late, global, shared (the base)",
    "late-unshared": "late, global, unshared",
    "late-local": "late, local",
    "late-both": "late, global and neighbours (`both`)",
    "late-maximum": "late, maximum pooling",
    "late-learned-mask": "late, learned mask",
    "late-interpolated": "late, support interpolated to stride 2",
    "early-stack-direct-discs": "early, stacked, direct, discs",
    "early-stack-direct-distance": "early, stacked, direct, distance maps",
    "early-stack-local": "early, stacked, support encoder, local",
    "early-stack-global": "early, stacked, support encoder, global (co-FCN)",
    "early-mask-global": "early, masked, global",
    "regression-global": "parameter regression, shared",
    "regression-unshared": "parameter regression, unshared",
    "regression-local": "parameter regression, local",
    "regression-mask": "parameter regression, masked image (OSLSM)",
    "prototypes-cosine": "prototypes, cosine",
    "prototypes-euclidean": "prototypes, Euclidean",
    "neighbours-cosine": "nearest neighbours, cosine",
    "neighbours-euclidean": "nearest neighbours, Euclidean",
    "both-cosine": "prototypes and neighbours, cosine",
    "both-euclidean": "prototypes and neighbours, Euclidean",
}


def model_space(table: Mapping[str, Any]) -> str:
    """The paper's designs: positive IU over seeds, parameters, times."""
    points, variants = ("1", "5", "20", "dense"), {each["name"]: each for each in table["variants"]}
    rows = []
    for key, name in NAMES_MODEL_SPACE.items():
        each = variants[key]
        seconds, click = each["training_seconds"], each["click"]
        rows.append(
            [
                name,
                *(percent_spread(each["scores"][p]["mean"], each["scores"][p]["std"]) for p in points),
                f"{each['parameters']['total']:,}",
                f"{click['update_ms']:.2f}",
                f"{click['ratio']:.1f}",
                f"{seconds['mean']:.0f} ± {seconds['std']:.0f}",
            ]
        )
    return to_table(["", *points, "parameters", "ms a click", "pass / click", "training s"], rows)


NAMES_IN_CONTEXT = {
    "late-global": "the mean of each label",
    "clusters": "`clusters=10`",
    "gram": "`gram`",
    "clusters-gram": "both",
    "backward": "`backward`",
    "positional": "`positional`",
    "guided-filter": "`eval.guided_filter`",
}


def in_context(results: Mapping[str, Any]) -> str:
    """What each option of in-context inference is worth, by points."""
    rows = [
        [
            name,
            *(percent(each["rows"][key][part]) for each in results.values() for part in ("pos_iu", "class_iu")),
        ]
        for key, name in NAMES_IN_CONTEXT.items()
    ]
    head = [f"{part}, {points}" for points in results for part in ("positive IU", "class mean")]
    return to_table(["", *head], rows)


def in_context_video(results: Mapping[str, Any]) -> str:
    """The same along clips, whose objects have no classes."""
    rows = [[name, percent(results["rows"][key]["pos_iu"])] for key, name in NAMES_IN_CONTEXT.items()]
    return to_table(["", "positive IU, dense"], rows)


def quickstart(summary: Mapping[str, Any]) -> str:
    """What the quickstart prints of its scores, as a block of code."""
    scores = {name: result["scores"] for name, result in summary["results"].items()}
    tasks = summary["results"]["guided"]["protocol"]["tasks"]
    lines = [
        f"positive IU on {tasks} held-out tasks, by points per label:",
        f"{'':>10}" + "".join(f"{points:>7}" for points in scores["guided"]),
        *(f"{name:>10}" + "".join(f"{s['pos_iu']:>7.3f}" for s in each.values()) for name, each in scores.items()),
        f"guidance gains {summary['gap']:.3f} at {summary['points_per_label']} points per label",
    ]
    return "\n".join(["```text", *lines, "```"])


POINTS_HEADLINE = ("1", "5", "dense")


def decoder(results: Mapping[str, Any]) -> str:
    """Positive IU of the spatial decoder: pooled, by class, of small objects."""
    measures = {"pos_iu": "pooled", "class_mean": "class mean", "small": "small objects"}
    scores = results["decoder"]["scores"]
    rows = [[name, *(percent(each[measure]) for each in scores.values())] for measure, name in measures.items()]
    return to_table(["", *scores], rows)


def decoder_classes(results: Mapping[str, Any]) -> str:
    """Positive IU of every class."""
    scores = results["decoder"]["scores"]
    rows = [[name, *(percent(each["classes"][name]) for each in scores.values())] for name in scores["1"]["classes"]]
    return to_table(["", *scores], rows)


NAMES_DECODER_CLICKS = {
    "clicks-voc": "VOC `val`, {} class masks",
    "clicks-regions": "BSDS500, {} regions of images held out",
}


def decoder_clicks(results: Mapping[str, Any]) -> str:
    """Number of clicks to a target, and IoU after so many clicks, with the spatial decoder."""
    named = {
        name.format(results[key]["protocol"]["objects"]): results[key]
        for key, name in NAMES_DECODER_CLICKS.items()
        if key in results
    }
    return clicks_table(named)


def headline(
    generated: Mapping[str, Any],
    stills: Mapping[str, Any],
    folds: Mapping[str, Any],
    videos: Mapping[str, Any],
    decoders: Mapping[str, Any],
) -> str:
    """One row a task of the paper: what one point, five points and dense masks reach."""

    def pooled(result: Mapping[str, Any]) -> list[str]:
        return ["positive IU", *(percent(result["scores"][p]["pos_iu"]) for p in POINTS_HEADLINE)]

    def tasks(result: Mapping[str, Any]) -> str:
        return f"{result['protocol']['tasks']} tasks"

    small, guided, fold, clip = generated["results"]["guided"], stills["guided"], folds["2"], videos["clicks"]
    j_and_f = [percent(video_means(clip, points)["j_and_f"]) for points in POINTS_HEADLINE]
    rows = [
        ["generated images", tasks(small), "`quickstart`", *pooled(small)],
        ["interactive", f"VOC `val`, {tasks(guided)}", "`interactive`", *pooled(guided)],
        ["", "", "`interactive:unshared`", *pooled(stills["unshared"])],
        ["", "", "`interactive:unguided`", *pooled(stills["unguided"])],
        ["", "", "`decoder`, ours", *pooled(decoders["decoder"])],
        ["few-shot semantic", f"PASCAL-5i, fold 2, {tasks(fold)}", "`few_shot:2`", *pooled(fold)],
        ["", "", "`few_shot:2-unguided`", *pooled(folds["2-unguided"])],
        ["", "", "`few_shot:2-decoder`, ours", *pooled(folds["2-decoder"])],
        ["video objects", f"DAVIS 2016, {clip['protocol']['objects']} clips", "`interactive:clicks`", "J&F", *j_and_f],
    ]
    return to_table(["task", "data", "configuration", "measure", "1 point", "5 points", "dense"], rows)


TABLES = {
    "headline": Source(
        ("quickstart.json", "interactive.json", "few_shot.json", "video.json", "decoder.json"), headline
    ),
    "quickstart": Source(("quickstart.json",), quickstart),
    "interactive": Source(("interactive.json",), interactive),
    "clicks": Source(("clicks.json",), clicks),
    "decoder": Source(("decoder.json",), decoder),
    "decoder-classes": Source(("decoder.json",), decoder_classes),
    "decoder-clicks": Source(("decoder.json",), decoder_clicks),
    "few-shot": Source(("few_shot.json",), few_shot),
    "few-shot-seeds": Source(("few_shot.json",), few_shot_seeds),
    "few-shot-classes": Source(("few_shot.json",), few_shot_classes),
    "video": Source(("video.json",), video),
    "video-memory": Source(("video_memory.json",), video_memory),
    "video-memory-clips": Source(("video_memory.json",), video_memory_clips),
    "video-guide": Source(("video_memory.json",), video_guide),
    "interactive-video-grid": Source(("interactive_video.json",), interactive_video_grid),
    "interactive-video-corrections": Source(("interactive_video.json",), interactive_video_corrections),
    "model-space": Source(("model_space.json",), model_space),
    "in-context": Source(("in_context.json",), in_context),
    "in-context-video": Source(("in_context_video.json",), in_context_video),
}
"""Every table by the name that its marker in a page has."""
