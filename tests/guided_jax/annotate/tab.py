"""A tab of the browser with the page in it: what a person does there, and what is seen."""

import numpy as np

from tests.guided_jax.annotate.serving import wait_until

STATE = "async () => (await import('/scripts/store.js')).state"
MASK = """async () => {
    const mask = (await import('/scripts/layers.js')).maskShown();
    return mask && { ...mask, labels: [...mask.labels] };
}"""
PLACE = """async ([row, column]) => {
    const { viewport } = await import('/scripts/viewport.js');
    const box = document.getElementById('canvas').getBoundingClientRect();
    const { scale, x, y } = viewport;
    return [box.left + x + (column + 0.5) * scale, box.top + y + (row + 0.5) * scale];
}"""
PIXEL = """([x, y]) => {
    const canvas = document.getElementById('canvas'), box = canvas.getBoundingClientRect();
    const [left, top] = [(x - box.left) * devicePixelRatio, (y - box.top) * devicePixelRatio];
    return [...canvas.getContext('2d').getImageData(left, top, 1, 1).data].slice(0, 3);
}"""


class Tab:
    """A page that is open."""

    def __init__(self, page):
        self.page, self.errors = page, []
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._listen)

    def _listen(self, message) -> None:
        expected = (
            "ERR_CONNECTION",
            "WebSocket connection",
            "Failed to load resource",
        )  # a server that is gone, a refusal
        if message.type == "error" and not any(each in message.text for each in expected):
            self.errors.append(message.text)

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.wait_ready()

    def wait_ready(self) -> None:
        """Until an image and its mask are shown."""
        wait_until(lambda: self.is_pictured() and (self.mask() is not None))

    def is_pictured(self) -> bool:
        """Whether the image in view is the one that is drawn."""
        return self.page.evaluate("async () => (await import('/scripts/drawing.js')).isPictured()")

    def state(self) -> dict:
        return self.page.evaluate(STATE)

    def mask(self) -> np.ndarray | None:
        """The labels that are drawn; None: none of the image in view."""
        found = self.page.evaluate(MASK)
        if found is None or found["image"] != self.state()["image"]:
            return None
        return np.array(found["labels"], np.uint8).reshape(found["height"], found["width"])

    def settle(self) -> np.ndarray:
        """Waits until the server has made all edits, and gives the mask that follows from them."""

        def is_settled():
            state, mask = self.state(), self.page.evaluate(MASK)
            done = not state["pending"] and mask and mask["image"] == state["image"] == state["server"]["image"]
            return done and mask["seq"] >= state["server"]["seq"]

        wait_until(is_settled)
        return self.mask()

    def at(self, row: float, column: float) -> list[float]:
        """Where a pixel of the image lies in the window."""
        return self.page.evaluate(PLACE, [row, column])

    def pixel(self, row: float, column: float) -> list[int]:
        """The colour that is drawn at a pixel of the image."""
        return self.page.evaluate(PIXEL, self.at(row, column))

    def click(self, row: float, column: float, button: str = "left") -> np.ndarray:
        self.page.mouse.click(*self.at(row, column), button=button)
        return self.settle()

    def drag(self, *points: tuple[float, float], button: str = "left") -> np.ndarray:
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down(button=button)
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=4)
        mouse.up(button=button)
        return self.settle()

    def press(self, keys: str) -> np.ndarray:
        self.page.keyboard.press(keys)
        return self.settle()

    def show(self, name: str) -> np.ndarray:
        self.page.click(f'.thumb[data-name="{name}"]')
        wait_until(lambda: self.is_pictured() and (self.mask() is not None))
        return self.settle()

    def toast(self) -> str:
        """The newest message."""
        return wait_until(lambda: self.page.locator(".toast").last.inner_text())
