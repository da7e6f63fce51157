"""How fast episodes are read and put together, by threads and processes, beside decoding their images alone.

    guided_jax benchmark input [--config=NAME] [--workers=0,2] [--batches=20] [--workdir=DIR] [--config....]

Without `--config` the generated images of the quickstart. The decoding limit: the encoded images of the first source,
decoded one after the other by OpenCV on one core, times the cores of this process; a loader that reads one image an
episode cannot be faster. Cached features are left out: what is timed is the way from an image on disk.
"""

import sys
import time
from typing import Any

import cv2
from absl import flags

from data_pipelines.datasets.record import decode_image, to_record
from data_pipelines.processes import count_cores
from experiments.benchmarks.command import define_result, open_result, parse_numbers, write_result
from experiments.configs import quickstart
from experiments.runs.data import OpenSource, host_batches, open_training, training_stream
from experiments.settings.checks import check_config
from experiments.settings.command_flags import define_config, override, own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.config import Config
from experiments.settings.config_files import load_config
from experiments.settings.errors import user_mistakes
from experiments.settings.help_texts import Command

COMMAND = Command(
    "guided_jax benchmark input",
    __doc__,
    fields="Another value for a field of the configuration, as --config.data.root=DATA.",
)


def measure_input(config: Config, workers: list[int], batches: int) -> dict[str, Any]:
    """Times the loader of an experiment.

    Args:
        config: of the experiment.
        workers: numbers of processes; 0 are threads of this one.
        batches: that are timed, after one that starts the workers.

    Returns:
        limit: episodes a second that decoding allows on all cores. rows: for each number of workers,
        episodes_per_second, and share, of the limit.
    """
    sources = open_training(config)
    stream = training_stream(config, sources, None)
    size = config.train.batch_size
    limit = count_cores() * _decoding_rate(sources, batches * size)
    rows = []
    for number in workers:
        config.data.workers = number
        loaded = host_batches(config, stream, size, stop=batches + 1)
        next(loaded)
        began = time.perf_counter()
        for _ in loaded:
            pass
        rate = batches * size / (time.perf_counter() - began)
        rows.append({"workers": number, "episodes_per_second": rate, "share": rate / limit})
    return {"limit": limit, "cores": count_cores(), "batch_size": size, "rows": rows}


def _decoding_rate(sources: list[OpenSource], images: int) -> float:
    records = sources[0].split.records
    encoded = [to_record(records[int(number) % len(records)]).image for number in range(min(images, len(records)))]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    began = time.perf_counter()
    for each in encoded:
        decode_image(each)
    seconds = time.perf_counter() - began
    cv2.setNumThreads(threads)
    return len(encoded) / seconds


def main(argv: list[str]) -> None:
    """Measures, prints and writes."""
    values = own_flags()
    define_config(values, "The experiment whose episodes are read, the quickstart's where none is named:")
    flags.DEFINE_list("workers", ["0", "2"], "`N,...` numbers of processes; 0: threads.", flag_values=values)
    flags.DEFINE_integer("batches", 20, "`N` batches that are timed.", 1, flag_values=values)
    define_result(values, "input")
    _, overrides = read_flags(argv, values, COMMAND)
    config = load_config(values.config) if values.config else quickstart.get_config()
    config = override(config, overrides, list(values))
    numbers = parse_numbers(values.workers, "--workers", 0, 1024, "0,2")
    workdir = open_result(values)
    with user_mistakes():
        check_config(config, training=False)
        found = measure_input(config, numbers, values.batches)
    print(f"decoding alone allows {found['limit']:.0f} episodes/s on {found['cores']} cores")
    for row in found["rows"]:
        how = f"{row['workers']} processes" if row["workers"] else "threads"
        print(f"{how:>14}: {row['episodes_per_second']:8.0f} episodes/s, {row['share']:.0%} of that")
    write_result(workdir, "input", {**found, "config": config.name})


if __name__ == "__main__":
    sys.exit(start(main))
