"""What one more click costs on the page, from the press of the button to the mask on the screen.

    guided_jax benchmark page [--size=480x854] [--clicks=30] [--workdir=DIR]

The guide that comes with the package, on matplotlib's sample photograph, in Debian's Chromium without a window.
The browser takes the time, from the event of the pointer until after the frame in which the mask was drawn; what of it
was the model's stands beside it. On a machine with other work the minimum says what the code costs, the median what the
machine gave. Needs the extras `annotate` and `test`.
"""

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from matplotlib import cbook
from PIL import Image

from experiments.benchmarks.command import SIZE, define_result, open_result, parse_size, write_result
from experiments.settings.command_flags import own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.errors import UserError
from experiments.settings.help_texts import Command
from guided_jax.session import Session

COMMAND = Command("guided_jax benchmark page", __doc__)

FIRST = 4
"""Clicks before those that count, which compile."""

GRID = 16
"""Clicks in a row of the grid on which they lie: none is so near to another one that it would take hold of it."""

LISTEN = """async () => {
    globalThis.times = [];
    (await import('/scripts/store.js')).on('timed', (time) => globalThis.times.push(time));
}"""
PLACE = """async ([down, across]) => {
    const { viewport, sizeOf } = await import('/scripts/viewport.js');
    const { left, top } = document.getElementById('canvas').getBoundingClientRect();
    const { width, height } = sizeOf();
    return [left + viewport.x + across * width * viewport.scale, top + viewport.y + down * height * viewport.scale];
}"""


def measure_page(height: int, width: int, *, clicks: int) -> dict[str, Any]:
    """Times clicks in a browser.

    Args:
        height: of the image in pixels.
        width: of the image in pixels.
        clicks: that are timed, on the object and beside it in turn.

    Returns:
        total_ms, model_ms: medians in milliseconds, and *_min_ms, minima; times: all of them. And height, width.

    Raises:
        UserError: there is no browser, or an extra is missing.
    """
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright

        from guided_jax.annotate.files.gallery import open_folder
        from guided_jax.annotate.web.server import bind, in_thread, make_server
    except ModuleNotFoundError as error:
        raise UserError(f"the page needs {error.name}: pip install 'guided_jax[annotate,test]'") from error
    if chromium is None:
        raise UserError("the page needs Debian's chromium: apt-get install chromium")
    bound, cells = bind("127.0.0.1", 0), (np.arange(GRID) + 0.5) / GRID
    places = np.random.default_rng(0).permutation(np.stack(np.meshgrid(cells, cells), -1).reshape(-1, 2)).tolist()
    with tempfile.TemporaryDirectory() as folder:
        photograph = Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
        images = Path(folder, "images")
        images.mkdir()
        photograph.resize((width, height)).save(images / "photograph.png")
        port = bound.getsockname()[1]
        about = {"model": "the shipped guide", "host": "127.0.0.1", "port": port}
        served = make_server(open_folder(images), Session(), Path(folder, "work"), **about)
        with in_thread(served.app, bound), sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(served.address)
            page.wait_for_selector(".thumb")
            page.evaluate(LISTEN)
            for number in range(FIRST + clicks):
                place = page.evaluate(PLACE, places[number])
                page.mouse.click(*place, button="right" if number % 2 else "left")
                while page.evaluate("globalThis.times.length") <= number:
                    time.sleep(0.02)
                time.sleep(0.2)  # a person does not click at once, and nothing is to wait for the click before
            times = page.evaluate("globalThis.times")[FIRST:]
            browser.close()
    total, model = ([each[key] for each in times] for key in ("total", "server"))
    return {
        "total_ms": statistics.median(total),
        "total_min_ms": min(total),
        "model_ms": statistics.median(model),
        "model_min_ms": min(model),
        "times": times,
        "height": height,
        "width": width,
    }


def main(argv: Sequence[str]) -> None:
    """Measures, prints and writes."""
    values = own_flags()
    flags.DEFINE_string("size", SIZE, "`HEIGHTxWIDTH` of the image in pixels.", flag_values=values)
    flags.DEFINE_integer(
        "clicks",
        30,
        "Number `N` of clicks that are timed.",
        lower_bound=1,
        upper_bound=GRID**2 - FIRST,
        flag_values=values,
    )
    define_result(values, "page")
    read_flags(argv, values, COMMAND)
    workdir = open_result(values)
    times = measure_page(*parse_size(values.size), clicks=values.clicks)
    print(
        f"median (minimum) at {values.size}: from the press of the button to the mask on the screen "
        f"{times['total_ms']:.0f} ({times['total_min_ms']:.0f}) ms, of it in the model {times['model_ms']:.0f} "
        f"({times['model_min_ms']:.0f}) ms"
    )
    write_result(workdir, "page", times)


if __name__ == "__main__":
    sys.exit(start(main))
