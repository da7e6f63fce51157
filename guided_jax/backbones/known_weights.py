"""The published files of VGG-16's weights: where they are, and which one a file is, by its checksum."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from guided_jax.backbones.file_formats import WeightsError, no_weights
from guided_jax.backbones.preprocessing import CAFFE, KERAS, TORCHVISION, Preprocessing


@dataclass(frozen=True)
class KnownFile:
    """A published file of VGG-16's weights.

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


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"

# torchvision's sha256 begins as its file name says; the Caffe-converted file is taken to do the same (its
# full checksum is not published). Keras's md5 are those of keras.applications.vgg16.
KNOWN_FILES = (
    KnownFile(
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "md5",
        "6d6bbae143d832006294945121d1f1fc",
        KERAS,
        "Oxford's VGG-16, Keras's copy, convolutions",
        short="vgg16",
        url=f"{_KERAS}vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        megabytes=59,
    ),
    KnownFile(
        "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        "md5",
        "64373286793e3c8b2b4e3219cbf3544b",
        KERAS,
        "Oxford's VGG-16, Keras's copy",
        short="vgg16-fc",
        url=f"{_KERAS}vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        megabytes=553,
    ),
    KnownFile(
        "vgg16-397923af.pth",
        "sha256",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        TORCHVISION,
        "torchvision's VGG-16",
        short="vgg16-torchvision",
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        megabytes=553,
    ),
    KnownFile(
        "vgg16-00b39a1b.pth",
        "sha256",
        "00b39a1b",
        CAFFE,
        "Oxford's VGG-16, converted from Caffe by J. Johnson",
        short="vgg16-caffe",
        url="https://web.eecs.umich.edu/~justincj/models/vgg16-00b39a1b.pth",
        megabytes=553,
    ),
    KnownFile(
        "vgg16_imagenet_conv_fp16.npz",
        "sha256",
        "5951250add37090d8b3e2d14efb20581220025be54428892f8d29868ca0e2cd0",
        CAFFE,
        "Oxford's VGG-16, convolutions in float16",
    ),
    KnownFile(
        None,
        "sha256",
        "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
        TORCHVISION,
        "torchvision's VGG-16, timm's vgg16.tv_in1k",
    ),
)


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


def named_weights() -> dict[str, KnownFile]:
    """The published files that are had by name."""
    return {known.short: known for known in KNOWN_FILES if known.short}


def where_to_get(path: str | Path) -> str:
    """Where weights are to be had in place of a file that is not there; for the end of a message."""
    by_name, file = named_weights(), Path(path).name
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
