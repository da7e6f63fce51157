"""A published file of weights, and the checksum by which a file is known as one."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from guided_jax.backbones.file_formats import WeightsError
from guided_jax.backbones.preprocessing import Preprocessing


@dataclass(frozen=True)
class KnownFile:
    """A published file of weights.

    Attributes:
        name: the file name under which it is published; None where other files have that name, too.
        algorithm: algorithm of the published checksum, `sha256` or `md5`.
        checksum: the checksum in hexadecimal, or as much of its beginning as is published.
        preprocessing: preprocessing of images that the weights expect.
        source: whose weights they are, in words.
        short: the name by which a user asks for it; empty: it cannot be had by name.
        url: of the file.
        megabytes: size of the file.
    """

    name: str | None
    algorithm: str
    checksum: str
    preprocessing: Preprocessing
    source: str
    short: str = ""
    url: str = ""
    megabytes: int = 0

    def is_whole(self, checksum: str) -> bool:
        """Whether a file with this checksum, of this file's algorithm, is the published one."""
        return checksum.startswith(self.checksum)

    def expected(self) -> str:
        """The published checksum in words: all of it, or how it begins."""
        return f"{'starts with' if len(self.checksum) < 32 else 'is'} {self.checksum}"


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """Checksum of a file in hexadecimal.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
