"""The tables of the page on performance, from what the benchmarks wrote.

`experiments/results/performance.json` holds the file of each benchmark under its name.
"""

from collections.abc import Mapping
from typing import Any

from docs.tools.estimates import coco
from docs.tools.result_tables import Source, percent, to_table

NAMES_TRAINING = {"cached features": "cached features", "full": "full, frozen trunk in every step"}


def rate(value: float) -> str:
    """Of episodes or frames a second."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def training_speed(benchmark: Mapping[str, Any]) -> str:
    """Episodes per second of the loader, the step, and both together."""
    rows = []
    for key, name in NAMES_TRAINING.items():
        each = benchmark["rows"][key]
        rates = [rate(each[part]) for part in ("loader", "step", "together")]
        rows.append([name, *rates, f"{each['loader_over_step']:.0f}", f"{percent(each['wait'])} %"])
    return to_table(["", "loader", "step", "together", "loader / step", "step waits"], rows)


def train_steps(measured: Mapping[str, Any]) -> str:
    """A training step beside PyTorch's, one size and mode under the other."""
    rows = []
    for table in measured["train"]["tables"]:
        mode = f"semantic, S = {table['shots']}" if table["shots"] else "interactive"
        rows.append([f"**{table['height']}x{table['width']}, {mode}**", *[""] * 5])
        for row in table["rows"]:
            roof = f"{row['roof']:.0%}" if "roof" in row else ""
            memory = f"{row['temporary_bytes'] / 2**20:.0f}" if "temporary_bytes" in row else ""
            seconds = f"{row['compile_seconds']:.0f}" if "compile_seconds" in row else ""
            rows.append([row["name"], rate(row["episodes_per_second"]), f"{row['ratio']:.2f}", roof, memory, seconds])
    head = ["", "episodes/s", "times the reference", "of the roof", "MiB beside the state", "s to compile"]
    return to_table(head, rows)


def roof(measured: Mapping[str, Any]) -> str:
    """What the device can do at most."""
    found = measured["train"]["roof"]
    rows = [
        [dtype, f"{found['matmul'][dtype] / 1e9:.0f}", f"{found['convolution'][dtype] / 1e9:.0f}"]
        for dtype in found["matmul"]
    ]
    return to_table(["", "products of matrices, GFLOP/s", "3x3 convolutions, GFLOP/s"], rows)


def frames(measured: Mapping[str, Any]) -> str:
    """Frames a second of a clip."""
    rows = [
        [name, rate(row["frames_per_second"]), f"{row['ratio']:.2f}"] for name, row in measured["video"]["rows"].items()
    ]
    return to_table(["", "frames/s", "times PyTorch's encoder in float32"], rows)


def loading(measured: Mapping[str, Any]) -> str:
    """Episodes a second of the loader."""
    found = measured["input"]
    rows = [[f"decoding alone, {found['cores']} cores", rate(found["limit"]), ""]]
    for row in found["rows"]:
        how = f"{row['workers']} processes" if row["workers"] else "threads"
        rows.append([how, rate(row["episodes_per_second"]), f"{row['share']:.0%}"])
    return to_table(["", "episodes/s", "of that limit"], rows)


def devices(measured: Mapping[str, Any]) -> str:
    """What devices send each other, and the share of each."""
    rows, first = [], measured["scale"]["rows"][0]
    for row in measured["scale"]["rows"]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(row["collectives"].items())) or "none"
        share = row["operations"] / first["operations"]
        rows.append([str(row["devices"]), kinds, f"{row['bytes'] / 2**20:.1f}", f"{percent(share)} %"])
    return to_table(["devices", "collectives in a step", "MiB of each device", "operations of each device"], rows)


TABLES = {
    "training-speed": Source(("benchmark_training.json",), training_speed),
    "speed-coco": Source(("performance.json", "benchmark_training.json"), coco),
    **{
        name: Source(("performance.json",), make)
        for name, make in {
            "speed-steps": train_steps,
            "speed-roof": roof,
            "speed-frames": frames,
            "speed-loading": loading,
            "speed-devices": devices,
        }.items()
    },
}
"""Every table by the name that its marker in a page has."""
