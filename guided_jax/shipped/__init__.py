"""Guides that come with the package: files beside this one, found by name.

    guided_jax.load("vgg16-decoder")

What each was trained on, how it was measured and where it fails stands in `MODEL_CARD.md` beside it. A guide's own file
holds what it learnt; the trunk that they share is in `vgg16.safetensors`.
"""

from pathlib import Path
from typing import NamedTuple

from guided_jax.backbones.file_formats import WeightsError
from guided_jax.backbones.known_file import checksum

FOLDER = Path(__file__).parent


class Shipped(NamedTuple):
    """A file of a guide.

    Attributes:
        file: its name in the folder of this module.
        sha256: its checksum in hexadecimal.
        about: what it is, in a few words.
        max_side: a session looks at images scaled down to so many pixels a side: the largest that it was trained at.
    """

    file: str
    sha256: str
    about: str
    max_side: int


SHIPPED = {
    "vgg16-decoder": Shipped(
        "vgg16-decoder.safetensors",
        "ac09889f0a46a06925ade8917bdd56ce065b2dba61707cb95ee378ca49c78115",
        "VGG-16 and a spatial decoder, for objects of any kind in a person's own pictures",
        max_side=512,
    ),
    "vgg16-semantic": Shipped(
        "vgg16-semantic.safetensors",
        "80cc926a1f934838d208e917236774b8a4a7d42212535eb0da8dbc248de741fe",
        "the same network for other photographs of the same kind of thing",
        max_side=512,
    ),
}

DEFAULT = "vgg16-decoder"
"""The guide that is used where none is named."""

ACROSS_IMAGES = "vgg16-semantic"
"""The guide that is used where none is named, and what is segmented are other photographs than the annotated ones."""


def shipped_file(name: str) -> Path:
    """The file of a guide.

    Args:
        name: of `SHIPPED`.

    Raises:
        WeightsError: the package lacks the file, or it is not the one that was shipped.
    """
    shipped = SHIPPED[name]
    path = FOLDER / shipped.file
    if not path.is_file():
        raise WeightsError(f"{name}: {path} is missing; install the package again")
    if (found := checksum(path)) != shipped.sha256:
        raise WeightsError(f"{name}: {path} is damaged: its sha256 is {found}, not {shipped.sha256}; install it again")
    return path
