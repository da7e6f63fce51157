"""What a file of weights is: by its name, and where that does not hold by its first bytes."""

import re
from collections.abc import Iterable
from pathlib import Path


class WeightsError(ValueError):
    """Weights that cannot be read or do not fit, for a reason that the user can mend."""


SUFFIXES = (".npz", ".h5", ".hdf5", ".keras", ".pth", ".pt", ".pth.tar", ".safetensors")

_FORMATS = {".hdf5": ".h5", ".pt": ".pth", ".pth.tar": ".pth"}

_MAGIC = (
    (b"\x89HDF\r\n\x1a\n", "HDF5", (".h5",)),
    (b"PK\x03\x04", "a zip archive", (".npz", ".keras", ".pth")),
    (b"\x93NUMPY", "a single array of NumPy", ()),
    (b"\x1f\x8b", "compressed by gzip", ()),
    (b"%PDF", "a PDF", ()),
    (b"\x89PNG", "an image", ()),
    (b"\xff\xd8\xff", "an image", ()),
)


def file_format(path: Path) -> str:
    """The format that a file's name tells, in lower case: `.npz`, `.h5`, `.keras`, `.pth` or `.safetensors`.

    Returns:
        Another suffix as it is; empty where there is none.
    """
    name = path.name.lower()
    suffix = ".pth.tar" if name.endswith(".pth.tar") else Path(name).suffix
    return _FORMATS.get(suffix, suffix)


def no_weights(path: Path) -> str | None:
    """What is in a file that cannot be weights, whatever its name, and what to do; None where it may be weights."""
    start = _start(path)
    if not start:
        return "the file is empty: the download was cut"
    if start.startswith(b"version https://git-lfs.github.com/"):
        return "it is the pointer of Git LFS, not the file itself: run git lfs pull where it was cloned"
    if re.match(rb"(\xef\xbb\xbf)?\s*(<!doctype html|<html|<head|<body)", start, re.IGNORECASE):
        return "it is an HTML page, not the file itself: open the address in a browser to see what it asks"
    return None


def looks_like(path: Path, expected: str) -> str | None:
    """What a file that is not of the format that its name tells looks like; None where nothing is known."""
    start = _start(path)
    for magic, what, formats in _MAGIC:
        if start.startswith(magic) and expected not in formats:
            return f"it is {what}" + (f": its name should end in {' or '.join(formats)}" if formats else "")
    if start[257:262] == b"ustar":
        return "it is a tar archive: unpack it, and name the file in it"
    if len(start) > 8 and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in start):
        return f"it is a text: {plain(start.decode('ascii'), 60)!r}"
    return None


def plain(text: str, limit: int = 200) -> str:
    """One short line of a message that is not ours, without the codes that steer a terminal."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def some(names: Iterable[str], separator: str = ", ", limit: int = 15) -> str:
    """Joins names, the first few of many, so that an error stays a line."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return separator.join(names[:limit]) + more


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1024)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
