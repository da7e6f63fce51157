"""The picture of the page in README: four objects clicked on a photograph, as Chromium shows them.

    python -m docs.tools.page_picture

The photograph is the one of `docs.tools.guide_picture`, in the public domain; the other images are parts of it. Needs
Debian's chromium and the extras `annotate` and `test`.
"""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from matplotlib import cbook
from PIL import Image
from playwright.sync_api import Page, sync_playwright

import guided_jax
from docs.tools.guide_picture import CLICKS, NAMES
from docs.tools.pages import ROOT
from guided_jax.annotate.files.gallery import open_folder
from guided_jax.annotate.web.server import bind, in_thread, make_server

PARTS = {"officer.jpg": (0, 0, 512, 600), "portrait.jpg": (90, 20, 440, 430), "flag.jpg": (0, 0, 220, 560)}
"""Left, top, right and bottom of each image in the photograph."""

PLACE = """async ([row, column]) => {
    const { viewport } = await import('/scripts/viewport.js');
    const { left, top } = document.getElementById('canvas').getBoundingClientRect();
    return [left + viewport.x + (column + 0.5) * viewport.scale, top + viewport.y + (row + 0.5) * viewport.scale];
}"""
IDLE = """async () => {
    const { state } = await import('/scripts/store.js');
    const { maskShown } = await import('/scripts/layers.js');
    return state.image && !state.pending.length && maskShown()?.seq >= state.server.seq;
}"""


def settle(page: Page) -> None:
    """Waits until the mask of the last edit is drawn."""
    while not page.evaluate(IDLE):
        time.sleep(0.05)


def annotate(page: Page, address: str) -> None:
    """Makes and names the objects, and clicks."""
    page.goto(address)
    settle(page)
    for label, name in enumerate(NAMES[1:], 1):
        if label > 1:
            page.click("#add-object")
        settle(page)
        page.click(f'.object[data-label="{label}"] .choose')
        page.fill('.object input[type="text"]', name)
        page.keyboard.press("Enter")
    for label, row, column in CLICKS:
        if label:
            settle(page)
            page.keyboard.press(str(label))
        page.evaluate("document.activeElement.blur()")
        page.mouse.click(*page.evaluate(PLACE, [row, column]), button="left" if label else "right")
        settle(page)


def main() -> None:
    """Writes `docs/annotate.jpg`."""
    photograph = Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "pictures")
        images.mkdir()
        for name, box in PARTS.items():
            Image.fromarray(np.asarray(photograph.crop(box))).save(images / name, quality=95)
        bound = bind("127.0.0.1", 0)
        port = bound.getsockname()[1]
        gallery = open_folder(images)
        gallery = gallery._replace(pictures=tuple(gallery.find(name) for name in PARTS))
        options = {"model": "vgg16-decoder", "host": "127.0.0.1", "port": port}
        served = make_server(gallery, guided_jax.Session(), Path(folder, "work"), **options)
        with in_thread(served.app, bound), sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.set_default_timeout(120_000)
            annotate(page, served.address)
            page.screenshot(path=ROOT / "docs" / "annotate.jpg", type="jpeg", quality=88)
            browser.close()


if __name__ == "__main__":
    main()
