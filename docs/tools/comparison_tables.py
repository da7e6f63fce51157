"""The tables of the comparisons with other systems: methods as rows, mean and deviation over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from docs.tools.result_tables import Source, percent_spread, to_table
from experiments.evaluation.spread import spread

NAMES_COMPARED = {
    "guided": "guided",
    "guided-by-classes": "guided, learnt from classes",
    "guided-by-instances": "guided, learnt from instances",
    "early": "early fusion",
    "dios": "DIOS",
    "oslsm": "OSLSM",
    "co-fcn": "co-FCN",
    "osvos": "OSVOS",
    "foreground-background": "foreground-background",
    "fine-tuning": "fine-tuning",
    "oracle": "oracle",
}


def comparison(table: Mapping[str, Any]) -> str:
    """The methods of a comparison that were run: positive IU over seeds, and what training and fine-tuning take."""
    variants = {each["name"]: each for each in table["variants"] if each["scores"]}
    points, rows = list(next(iter(variants.values()))["scores"]), []
    for key in (key for key in NAMES_COMPARED if key in variants):
        each = variants[key]
        scores = [percent_spread(each["scores"][p]["mean"], each["scores"][p]["std"]) for p in points]
        tuned = each["tuning_seconds"]
        seconds = [f"{each['training_seconds']['mean']:.0f}", f"{tuned['mean']:.2f}" if tuned else ""]
        rows.append([NAMES_COMPARED[key], *scores, str(len(each["seeds"])), *seconds])
    return to_table(["", *points, "seeds", "training s", "fine-tuning s a task"], rows)


def compared_videos(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """J of methods from five points and from a dense frame, and the seconds of a video under each.

    Args:
        results: of `guided_jax video` by method: one a seed and number of points, so that each has seconds of its own.
    """
    rows = []
    for key in (key for key in NAMES_COMPARED if key in results):
        j, seconds = [], []
        for points in ("5", "dense"):
            found = [each for each in results[key] if points in each["scores"]]
            j.append(percent_spread(*spread([each["scores"][points]["j"]["mean"] for each in found])[:2]))
            seconds.append(f"{spread([each['speed']['seconds_per_video'] for each in found]).mean:.1f}")
        rows.append([NAMES_COMPARED[key], *j, *seconds, str(len({each["protocol"]["seed"] for each in results[key]}))])
    return to_table(["", "J 5", "J dense", "s a video, 5", "s a video, dense", "seeds"], rows)


TABLES = {
    "compare-interactive": Source(("compare_interactive.json",), comparison),
    "compare-semantic": Source(("compare_semantic.json",), comparison),
    "compare-video": Source(("compare_video.json",), compared_videos),
}
"""Every table of a comparison by the name that its marker in a page has."""
