"""Names of files from names in data: what a file is called, and that it lies in the folder that was asked for."""

import hashlib
from pathlib import Path, PureWindowsPath
from urllib.parse import quote

from data_pipelines.datasets.record import DatasetError

LONGEST = 255
"""Bytes in the name of a file or folder, on all common file systems."""
DIGEST = 16
"""Hexadecimal digits that tell shortened names apart."""


def safe_path(folder: Path, name: str, suffix: str = "") -> Path:
    """The file of a name that comes from data, as `folder/NAME.suffix`.

    Slashes make folders. Everything that a file system may not take, or that leads out of the folder, is
    percent-encoded: `..` becomes `%2E%2E`, `/x` becomes `%2F/x`. Parts longer than a file system takes are cut, and end
    in a hash of the whole part.

    Args:
        folder: where the file is to lie; need not exist.
        name: of an image, a class, a clip.
        suffix: of the file, with its dot.

    Raises:
        DatasetError: a link in the folder leads out of it.
    """
    *folders, last = name.split("/")
    parts = [_safe_part(part, "") for part in folders]
    return inside(folder, "/".join([*parts, _safe_part(last, suffix)]))


def inside(folder: Path, name: str) -> Path:
    """`folder / name` to be written, which must lie in the folder, once links are followed.

    Raises:
        DatasetError: the name is absolute, or leads out of the folder.
    """
    path = join(folder, name)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DatasetError(f"{name!r} leads out of the folder {folder}, by a link in it; remove the link")
    return path


def expand_home(path: str | Path) -> Path:
    """A path with the home of the user, or of the named one, in the place of its `~`.

    Raises:
        DatasetError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DatasetError(f"{path}: there is no such user, whose home ~ stands for") from error


def join(folder: Path, name: str) -> Path:
    """`folder / name` to be read, for a name from data; links in the folder, to another disk say, are followed.

    Raises:
        DatasetError: the name is absolute, or has '..' in it.
    """
    windows = PureWindowsPath(name)
    if not name or "\0" in name or windows.drive or windows.root or ".." in windows.parts:
        raise DatasetError(f"{name!r} leads out of the folder {folder}; it must be a relative path without '..'")
    return folder / name


def _safe_part(part: str, suffix: str) -> str:
    if not part:
        return f"%2F{suffix}"
    safe = quote(part, safe=" ()+,=@&", errors="surrogatepass").replace("..", "%2E%2E")
    if safe == ".":
        safe = "%2E"
    room = LONGEST - len(suffix.encode())
    if len(safe) > room:
        digest = hashlib.sha256(safe.encode()).hexdigest()[:DIGEST]
        kept = safe[: room - DIGEST - 1]
        cut = kept.rfind("%", -2)  # not within %C3
        safe = f"{kept if cut < 0 else kept[:cut]}-{digest}"
    return safe + suffix
