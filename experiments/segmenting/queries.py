"""What is to be segmented: images and clips found by a glob, a folder or a file, each with the name of its outputs."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipelines.counted import counted
from data_pipelines.datasets.folder import IMAGE_SUFFIXES
from data_pipelines.datasets.reading.files import is_hidden, natural_key

IMAGES = (*IMAGE_SUFFIXES, ".tif", ".tiff")
VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")


class Query(NamedTuple):
    """An image, or a clip.

    Attributes:
        name: of its outputs, without suffix: the path from the folder that was asked for, with slashes.
        path: of the image, the video file, or the folder of a clip's frames.
        frames: of a clip in a folder, in their order.
        is_clip: whether it is a clip.
    """

    name: str
    path: Path
    frames: tuple[Path, ...] = ()
    is_clip: bool = False


class Found(NamedTuple):
    """The queries, and the folders that their names are relative to.

    Attributes:
        queries: in their order; no two write the same file.
        bases: the folders.
        searched: those of them of which folders below were looked into, too.
    """

    queries: tuple[Query, ...]
    bases: tuple[Path, ...]
    searched: tuple[Path, ...]


def find_queries(patterns: Sequence[str], *, clip: bool) -> Found:
    """Finds images and clips.

    Args:
        patterns: each the path of a file or of a folder, which is searched with all below it, or a glob.
        clip: whether the images of a folder are the frames of one clip.

    Raises:
        ValueError: there is no such file, none of them is an image or a video, or two would be written to the same
            file; in one line.
    """
    queries, bases, searched = {}, [], []
    for pattern in patterns:
        base, files, deep = _find(pattern)
        usable = [file for file in files if file.suffix.lower() in (*IMAGES, *VIDEOS)]
        if not usable:
            known = ", ".join((*IMAGES, *VIDEOS))
            raise ValueError(f"--query={pattern}: names {counted(len(files), 'file')}, none of which ends in {known}")
        bases.append(base)
        searched += [base] if deep else []
        for query in _name(usable, base, clip):
            other = queries.setdefault(query.name, query)
            if other.path.resolve() != query.path.resolve():
                raise ValueError(
                    f"{other.path} and {query.path} would both be written as {query.name}; rename one, or segment "
                    "them into two folders"
                )
    _check_clips(queries)
    return Found(tuple(queries.values()), tuple(dict.fromkeys(bases)), tuple(dict.fromkeys(searched)))


def check_out(out: Path, found: Found) -> None:
    """Raises ValueError where the next search for queries would find what is written."""
    for base in found.searched:
        if out.resolve().is_relative_to(base.resolve()):
            raise ValueError(
                f"--out={out}: lies in {base}, which --query searches, so that masks would be segmented the next time; "
                "give a folder outside of it"
            )


def _find(pattern: str) -> tuple[Path, list[Path], bool]:
    """The folder that names are relative to, the files, and whether folders below it were looked into."""
    path = Path(pattern)
    if path.is_dir():
        return path, _below(path), True
    if path.exists():
        return path.parent, [path], False
    matches = [Path(each) for each in glob.glob(pattern, recursive=True)]
    if not matches:
        raise ValueError(f"--query={pattern}: there is no such file or folder, and no file matches it")
    parts = path.parts
    fixed = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    base = Path(*parts[:fixed])
    files = [file for match in matches for file in (_below(match) if match.is_dir() else [match])]
    shown = {file for file in files if not is_hidden(file.relative_to(base))}
    return base, _ordered(shown, base), len(parts) > fixed + 1 or any(map(os.path.isdir, matches))


def _below(folder: Path) -> list[Path]:
    files = (file for file in folder.rglob("*") if file.is_file() and not is_hidden(file.relative_to(folder)))
    return _ordered(files, folder)


def _ordered(files: Iterable[Path], base: Path) -> list[Path]:
    return sorted(files, key=lambda file: [natural_key(part) for part in file.relative_to(base).parts])


def _name(files: Sequence[Path], base: Path, clip: bool) -> list[Query]:
    queries, folders = [], {}
    for file in files:
        if file.suffix.lower() in VIDEOS:
            queries.append(Query(file.relative_to(base).with_suffix("").as_posix(), file, is_clip=True))
        elif clip:
            folders.setdefault(file.parent, []).append(file)
        else:
            queries.append(Query(file.relative_to(base).with_suffix("").as_posix(), file))
    for folder, frames in folders.items():
        name = folder.relative_to(base).as_posix()
        queries.append(Query(folder.resolve().name if name == "." else name, folder, tuple(frames), is_clip=True))
    return queries


def _check_clips(queries: dict[str, Query]) -> None:
    """Frames of a clip are written to a folder of its name, where no image of another folder may be written."""
    for query in queries.values():
        clip = queries.get(Path(query.name).parent.as_posix())
        if clip is not None and clip.is_clip and not query.is_clip:
            raise ValueError(
                f"{query.path} would be written among the frames of the clip {clip.path}; rename one of them, or "
                "segment them into two folders"
            )
