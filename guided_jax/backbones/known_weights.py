"""The published files of all backbones' weights: by name, and which one a file is, by its checksum."""

from pathlib import Path

from guided_jax.backbones.backbone import Backbone
from guided_jax.backbones.file_formats import WeightsError, no_weights
from guided_jax.backbones.known_file import KnownFile, checksum
from guided_jax.backbones.table import BACKBONES

KNOWN_FILES = tuple(dict.fromkeys(known for backbone in BACKBONES.values() for known in backbone.known_files))


def named_weights() -> dict[str, KnownFile]:
    """The published files that are had by name."""
    return {known.short: known for known in KNOWN_FILES if known.short}


def where_to_get(path: str | Path, backbone: Backbone | None = None) -> str:
    """Where weights, of one backbone or of any, are to be had in place of a missing file; for the end of a message."""
    of_it = KNOWN_FILES if backbone is None else backbone.known_files
    by_name, file = {name: known for name, known in named_weights().items() if known in of_it}, Path(path).name
    known = next((each for each in by_name.values() if each.name == file), None)
    known = known or next(iter(by_name.values()), None)
    if known is None:
        return ""
    others = "".join(f", {name}" for name in by_name if name != known.short)
    what = "it" if known.name == file else f"{known.source},"
    return f"--config.weights={known.short} downloads {what} ({known.megabytes} MB) from {known.url}" + (
        f"; further names: {others[2:]}" if others else ""
    )


def identify(path: Path, sha256: str, *, trust_name: bool) -> KnownFile | None:
    """Finds the published file that this one is, by its checksum.

    Args:
        path: the file.
        sha256: its checksum.
        trust_name: accept a file that has the name of a published one but not its bytes.

    Raises:
        WeightsError: the file has the name of a published one but not its bytes (a download that was cut).
    """
    ours = {"sha256": sha256, "md5": ""}
    if any(known.algorithm == "md5" for known in KNOWN_FILES):
        ours["md5"] = checksum(path, "md5")
    for known in KNOWN_FILES:
        if known.is_whole(ours[known.algorithm]):
            return known
    for known in KNOWN_FILES:
        if known.name == path.name and not trust_name:
            reason = no_weights(path) or "the download was cut or the file was changed"
            raise WeightsError(
                f"{path}: its {known.algorithm} is {ours[known.algorithm]}, that of the published {known.name} "
                f"{known.expected()}: {reason}; download it again, or pass its preprocessing to use it as it is"
            )
    return None
