"""One table of a sweep: what each variant reaches, what it costs, and how far its seeds lie apart."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.drawing.curves import plot_curves
from experiments.drawing.pictures import as_points
from experiments.evaluation.spread import percent, spread
from experiments.runs.metrics import read_metrics
from experiments.sweeping.plan import Run, Variant, read_result

PER_RUN = ("seed", "episode_seed", "step", "small_tasks")
"""Entries of a protocol in which the runs of a table may differ; where there is a limit, each seed draws its tasks."""


def make_table(
    runs: Sequence[Run], measured: Mapping[str, dict[str, Any]], failures: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The table as JSON.

    Args:
        runs: all of the sweep, done or not.
        measured: by name of the variant, `parameters` (total, learning) and `click` (see `benchmarks.click`).
        failures: by name of the run, why it has no result, where that is known.

    Returns:
        variants: rows in the order of the runs; one without any result has no scores. missing: the runs without a
        result, by name, with the reason. Means are over seeds, deviations the sample's (null for a single seed).
    """
    failures = failures or {}
    results = [(run, read_result(run)) for run in runs]
    missing = {run.name: failures.get(run.name, "not run yet") for run, result in results if result is None}
    rows = []
    for variant in dict.fromkeys(run.variant.name for run in runs):
        of_variant = [(run, result) for run, result in results if run.variant.name == variant]
        done = [(run, result) for run, result in of_variant if result is not None]
        rows.append(_row(of_variant[0][0].variant, done, measured.get(variant, {})))
    return {"variants": rows, "missing": missing}


def _row(variant: Variant, done: Sequence[tuple[Run, dict]], measured: dict[str, Any]) -> dict[str, Any]:
    points = list(done[0][1]["scores"]) if done else []
    scores = {name: _spread([result["scores"][name]["pos_iu"] for _, result in done]) for name in points}
    logs = [read_metrics(run.folder) for run, _ in done]
    varies = [value for log in logs if (value := _last(log, "weight_variation")) is not None]
    protocols = [{k: v for k, v in result["protocol"].items() if k not in PER_RUN} for _, result in done]
    return {
        "name": variant.name,
        "experiments": list(variant.experiments),
        "overrides": variant.overrides,
        "seeds": [run.seed for run, _ in done],
        "scores": scores,
        "parameters": measured.get("parameters"),
        "click": measured.get("click"),
        "training_seconds": _spread([_training_seconds(log) for log in logs]),
        "tuning_seconds": _spread([s for _, result in done if (s := _tuning_seconds(result)) is not None]),
        "weight_variation": _spread(varies),
        "steps": variant.config.train.steps,
        "protocol": protocols[0] if protocols else None,
        "one_protocol": all(each == protocols[0] for each in protocols),
        "code": sorted({result["about"]["code"] for _, result in done}),
    }


def _spread(values: Sequence[float]) -> dict[str, Any] | None:
    if not values:
        return None
    found = spread(values)
    return {"mean": found.mean, "std": found.deviation, "values": list(values)}


def _last(log: Sequence[dict], name: str) -> float | None:
    return next((line[name] for line in reversed(log) if line.get(name) is not None), None)


def _training_seconds(log: Sequence[dict]) -> float:
    """Until the last update: compilation is included, the evaluation at the end is not."""
    return float(next((line["seconds"] for line in reversed(log) if "loss" in line), 0))


def _tuning_seconds(result: Mapping[str, Any]) -> float | None:
    """Of a task under one annotation, where the network is fine-tuned on it."""
    return result.get("speed", {}).get("seconds_per_task")


def to_markdown(table: Mapping[str, Any]) -> str:
    """The table for a terminal or a README: positive IU x 100 as mean and deviation over seeds."""
    rows = [row for row in table["variants"] if row["scores"]]
    points = list(dict.fromkeys(name for row in rows for name in row["scores"]))
    varies, tuned = (any(row.get(name) for row in rows) for name in ("weight_variation", "tuning_seconds"))
    head = ["variant", *points, "parameters", "learning", "ms a click", "a pass / a click", "training s"]
    lines = [[*head, *["fine-tuning s a task"] * tuned, *["weights vary"] * varies]]
    for row in rows:
        cells = [_percent(row["scores"].get(name)) for name in points]
        parameters, click = row.get("parameters") or {}, row.get("click") or {}
        cells += [f"{parameters[key]:,}" if key in parameters else "" for key in ("total", "learning")]
        update = click.get("update_ms")
        cells += ["", ""] if update is None else [f"{update:.2f}", f"{click['ratio']:.1f}"]
        cells.append(_plain(row.get("training_seconds"), 0))
        cells += [_plain(row.get("tuning_seconds"), 2)] * tuned + [_plain(row.get("weight_variation"), 3)] * varies
        lines.append([row["name"], *cells])
    lines.insert(1, ["---"] * len(lines[0]))
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines) if rows else "no result yet"
    return "\n\n".join([text, *_remarks(table, rows)])


def _percent(found: dict | None) -> str:
    return "" if found is None else percent(found["mean"], found["std"])


def _plain(found: dict | None, digits: int) -> str:
    if found is None or found["mean"] is None:
        return ""
    return f"{found['mean']:.{digits}f}" + ("" if found["std"] is None else f" ± {found['std']:.{digits}f}")


def _remarks(table: Mapping[str, Any], rows: Sequence[dict]) -> list[str]:
    remarks = []
    if rows:
        first = rows[0]["protocol"]
        seeds = sorted({len(row["seeds"]) for row in rows})
        among = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        remarks.append(
            f"Positive IU x 100 by points per label on {first['tasks']} tasks of {first['data']} ({first['mode']}, "
            f"S = {first['shots']}), mean ± standard deviation over {among} seed{'s' if seeds[-1] > 1 else ''}."
        )
        if click := next((row["click"] for row in rows if row.get("click")), None):
            remarks.append(
                f"A click: guide, merge, segment and the mask on the host, at {click['height']}x{click['width']}; the "
                "pass is the stacked network's of the same trunk in the same process."
            )
        unlike = [row["name"] for row in rows if not row["one_protocol"] or row["protocol"] != first]
        if unlike:
            remarks.append(f"Not the protocol of {rows[0]['name']}: {', '.join(unlike)}; see table.json.")
    for reason in dict.fromkeys(table["missing"].values()):
        names = [name for name, each in table["missing"].items() if each == reason]
        remarks.append(f"Missing ({reason}): {', '.join(names)}.")
    return remarks


def plot_table(path: Path, table: Mapping[str, Any]) -> None:
    """Plots positive IU over points per label, a line a variant, bars of the standard deviation."""
    rows = [row for row in table["variants"] if row["scores"]]
    curves = {row["name"]: as_points({name: each["mean"] for name, each in row["scores"].items()}) for row in rows}
    spreads = {
        row["name"]: as_points({n: each["std"] for n, each in row["scores"].items() if each["std"] is not None})
        for row in rows
    }
    plot_curves(path, curves, spreads=spreads, title=rows[0]["protocol"]["data"])
