"""A server of the page in a thread, on small pictures and a small model, that can be ended and started again."""

import time
from pathlib import Path

import numpy as np
from PIL import Image

from guided_jax.annotate.files.gallery import open_folder
from guided_jax.annotate.web.server import bind, in_thread, make_server
from guided_jax.session import Session

SIZE = (60, 80)
BOX = (slice(15, 45), slice(20, 50))
"""Where the red object lies in each picture, moved by a row from one to the next."""

GREY, RED, BLUE = (70, 70, 70), (220, 60, 40), (40, 70, 220)

NAMES = ("1.png", "2.png", "10.png")


def picture(number: int = 0) -> np.ndarray:
    """Grey, with a red box and a blue one."""
    image = np.empty((*SIZE, 3), np.uint8)
    image[:] = GREY
    image[15 + number : 45 + number, 20:50] = RED
    image[5:25, 58:76] = BLUE
    return image


def write_pictures(folder: Path) -> Path:
    """A folder of images, with what is none of them: a link that leads out of it, a text, an image further down."""
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(picture()).save(folder / "sub" / "3.png")
    Image.fromarray(picture()).save(folder.parent / "secret.png")
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "notes.txt").write_text("not an image")
    for number, name in enumerate(NAMES):
        Image.fromarray(picture(number)).save(folder / name)
    return folder


class Serving:
    """A server of the page."""

    def __init__(self, images: Path, work: Path, base: Session, host: str = "127.0.0.1", port: int = 0):
        bound = bind(host, port)
        self.port = bound.getsockname()[1]
        served = make_server(open_folder(images), base, work, model="tiny", host=host, port=self.port)
        self.address, self._running = served.address, in_thread(served.app, bound)
        self._running.__enter__()

    def end(self) -> None:
        self._running.__exit__(None, None, None)


def wait_until(is_so, seconds: float = 60.0):
    """Asks again and again; gives what is true in the end."""
    end = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)
    return found
