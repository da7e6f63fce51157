"""Scores of videos: J and F as DAVIS counts them, positive IU beside them, as tables and as JSON."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from data_pipelines.datasets.sources import Split
from data_pipelines.videos import Video, read_truth, scored_frames
from experiments.evaluation.spread import defined, percent, spread
from guided_jax.episode import UNKNOWN
from guided_jax.scoring.davis import Statistics, VideoScore, davis_score, score_frame, summarize
from guided_jax.scoring.positive_iu import iu

RULES = {
    "annotated": "the first frames that show an object, as many as shots; a later object, in its first frame",
    "scored": "the frames with a mask after the first annotated one, without the other annotated ones and the last "
    "one; with one shot DAVIS's rule, frames 2 to N - 1; an object that comes later, from the frame after its first",
    "void": "255 in the truth is background in J and F, as in the official code, and left out of positive IU",
    "accumulation": "j, f: mean over the frames of an object, then over all objects; pos_iu: true positive, false "
    "positive and false negative pixels pooled over all scored frames and objects",
    "ids": "those of the masks; they are not matched",
}
"""Part of the protocol of every result."""


class Scored(NamedTuple):
    """One video under one annotation.

    Attributes:
        j: region similarity of each object in each frame in which it is scored.
        f: boundary accuracy of the same.
        counts: true positive, false positive and false negative pixels of each object, over the same frames.
    """

    j: tuple[Float64[np.ndarray, " _"], ...]
    f: tuple[Float64[np.ndarray, " _"], ...]
    counts: Int64[np.ndarray, "k 3"]


def score_labels(split: Split, video: Video, predicted: Callable[[int], UInt8[np.ndarray, "_ _"]]) -> Scored:
    """Scores a video.

    Args:
        split: where the truth is.
        video: of the split.
        predicted: gives the label map of a frame by its position; asked for the scored frames alone.
    """
    objects = len(video.objects)
    counts, scores = np.zeros((objects, 3), np.int64), [np.zeros((0, 2))] * objects
    frames = [frozenset(scored_frames(video, label)) for label in range(1, objects + 1)]
    for position in video.scored:
        labels, truth = predicted(position), read_truth(split, video, position)
        of_frame, counted = score_frame(labels, truth, objects), count_objects(labels, truth, objects)
        for k in range(objects):
            if position in frames[k]:
                counts[k] += counted[k]
                scores[k] = np.concatenate([scores[k], of_frame[k][None]])
    return Scored(tuple(each[:, 0] for each in scores), tuple(each[:, 1] for each in scores), counts)


def count_objects(
    labels: UInt8[np.ndarray, "h w"], truth: UInt8[np.ndarray, "h w"], objects: int
) -> Int64[np.ndarray, "k 3"]:
    """True positive, false positive and false negative pixels of each object; void is left out.

    Their sums are what `count_positives` counts.
    """
    known = truth != UNKNOWN
    pairs = truth[known].astype(np.int64) * (objects + 1) + labels[known]
    table = np.bincount(pairs, minlength=(objects + 1) ** 2).reshape(objects + 1, objects + 1)
    agree = np.diagonal(table)[1:]
    return np.stack([agree, table.sum(0)[1:] - agree, table.sum(1)[1:] - agree], 1)


NOTHING_SCORED = "nothing is scored: no frame after the annotated ones has a true mask"
"""Of a clip of which only the first frame is annotated, say."""


def summarise(videos: Mapping[str, Scored]) -> dict[str, Any]:
    """The scores of a set of videos, in [0, 1]; None where no frame is scored."""
    single = {
        f"{name} {k}": VideoScore(j[None], f[None], range(len(j)))
        for name, each in videos.items()
        for k, (j, f) in enumerate(zip(each.j, each.f, strict=True))
        if len(j)
    }
    if not single:
        nothing = dict.fromkeys(Statistics._fields)
        return {"j_and_f": None, "j": nothing, "f": dict(nothing), "pos_iu": None}
    score = davis_score(single)
    counts = sum(each.counts.sum(0) for each in videos.values())
    return {
        "j_and_f": score.j_and_f,
        "j": score.j._asdict(),
        "f": score.f._asdict(),
        "pos_iu": defined(iu(counts)),
    }


def mean_of_draws(draws: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of the summaries of several draws, the deviation of their J&F and positive IU, and the J&F of each."""

    def mean(of: Sequence[Any]) -> Any:
        if isinstance(of[0], dict):
            return {key: mean([each[key] for each in of]) for key in of[0]}
        return spread(of).mean

    deviation = {key: spread([each[key] for each in draws]).deviation for key in ("j_and_f", "pos_iu")}
    return {**mean(draws), "deviation": deviation, "draws": [each["j_and_f"] for each in draws]}


def object_rows(video: Video, scored: Scored, **about: Any) -> list[dict[str, Any]]:
    """One row an object; `about` names the annotation."""
    rows = []
    for k, name in enumerate(video.objects):
        j, f = scored.j[k], scored.f[k]
        if not len(j):  # nothing to score: no true mask after the object's start
            continue
        of_j, of_f = summarize(j), summarize(f)
        rows.append(
            {
                "video": video.name,
                "object": name,
                **about,
                "j_and_f": (of_j.mean + of_f.mean) / 2,
                "j": of_j._asdict(),
                "f": of_f._asdict(),
                "pos_iu": defined(iu(scored.counts[k])),
                "j_by_frame": [round(float(value), 4) for value in j],
                "f_by_frame": [round(float(value), 4) for value in f],
            }
        )
    return rows


def video_row(video: Video, **about: Any) -> dict[str, Any]:
    """What a video is, and in `about` how long it took."""
    return {
        "video": video.name,
        "frames": len(video.rows),
        "height": video.height,
        "width": video.width,
        "objects": list(video.objects),
        "starts": [video.frames[i] for i in video.starts],
        "annotated": [video.frames[i] for i in video.support],
        "scored": len(video.scored),
        **about,
    }


def describe_table(rows: Sequence[dict[str, Any]], scores: Mapping[str, dict[str, Any]]) -> str:
    """The table that is printed: the objects under each number of points, and the means; or that nothing is scored.

    Args:
        rows: of `object_rows`; those of an object that differ in their draw alone are averaged.
        scores: by the number of points.
    """
    if not rows:
        return NOTHING_SCORED
    width = max([len("mean of objects"), *(len(row["video"]) for row in rows)])
    head = f"{'video':<{width}} object {'J':>6} {'recall':>6} {'decay':>6} {'F':>6} {'recall':>6} {'decay':>6} "
    head += f"{'J&F':>6} {'pos IU':>6}"
    lines = []
    for points, mean in scores.items():
        lines.append(f"{points} points per label and annotated frame" if points.isdigit() else points)
        lines.append(head)
        grouped: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for row in rows:
            if row["points"] == points:
                grouped.setdefault((row["video"], row["object"]), []).append(row)
        for (video, number), of_draws in grouped.items():
            keys = ("j_and_f", "j", "f", "pos_iu")
            lines.append(
                f"{video:<{width}} {number:>6} " + _cells(mean_of_draws([{k: r[k] for k in keys} for r in of_draws]))
            )
        lines.append(f"{'mean of objects':<{width}} {len(grouped):>6} " + _cells(mean))
        if mean["deviation"]["j_and_f"] is not None:
            lines.append(
                f"over {len(mean['draws'])} draws of the points J&F varies by {100 * mean['deviation']['j_and_f']:.1f}"
            )
        lines.append("")
    return "\n".join(lines[:-1])


def _cells(scores: dict[str, Any]) -> str:
    values = [scores[key][part] for key in ("j", "f") for part in ("mean", "recall", "decay")]
    return " ".join(f"{percent(value):>6}" for value in [*values, scores["j_and_f"], scores["pos_iu"]])
