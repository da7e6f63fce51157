"""Files of weights: which published file one is, by its checksum, and the arrays in it, as they are named there."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from safetensors import safe_open

from guided_jax.backbones.preprocessing import CAFFE, KERAS, TORCHVISION, Preprocessing


class WeightsError(ValueError):
    """Weights that cannot be read or do not fit, for a reason that the user can mend."""


@dataclass(frozen=True)
class KnownFile:
    """A published file of VGG-16's weights.

    Attributes:
        name: the file name under which it is published; None where other files have that name, too.
        algorithm: algorithm of the published checksum, `sha256` or `md5`.
        checksum: the checksum in hexadecimal, or as much of its beginning as is published.
        preprocessing: preprocessing of images that the weights expect.
        source: whose weights they are, in words.
    """

    name: str | None
    algorithm: str
    checksum: str
    preprocessing: Preprocessing
    source: str


# torchvision's sha256 begins as its file name says; the Caffe-converted file is taken to do the same (its
# full checksum is not published). Keras's md5 are those of keras.applications.vgg16.
KNOWN_FILES = (
    KnownFile(
        "vgg16_imagenet_conv_fp16.npz",
        "sha256",
        "5951250add37090d8b3e2d14efb20581220025be54428892f8d29868ca0e2cd0",
        CAFFE,
        "Oxford's VGG-16, convolutions in float16",
    ),
    KnownFile(
        "vgg16-397923af.pth",
        "sha256",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        TORCHVISION,
        "torchvision's VGG-16",
    ),
    KnownFile("vgg16-00b39a1b.pth", "sha256", "00b39a1b", CAFFE, "Oxford's VGG-16, converted from Caffe by J. Johnson"),
    KnownFile(
        None,
        "sha256",
        "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
        TORCHVISION,
        "torchvision's VGG-16, timm's vgg16.tv_in1k",
    ),
    KnownFile(
        "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        "md5",
        "64373286793e3c8b2b4e3219cbf3544b",
        KERAS,
        "Oxford's VGG-16, Keras's copy",
    ),
    KnownFile(
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "md5",
        "6d6bbae143d832006294945121d1f1fc",
        KERAS,
        "Oxford's VGG-16, Keras's copy, convolutions",
    ),
)

SUFFIXES = (".npz", ".h5", ".hdf5", ".pth", ".pt", ".safetensors")


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """Checksum of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def identify(path: Path, sha256: str, *, trust_name: bool) -> KnownFile | None:
    """Finds the published file that this one is, by its checksum.

    Args:
        path: the file.
        sha256: its checksum.
        trust_name: accept a file that has the name of a published one but not its bytes.

    Raises:
        WeightsError: the file has the name of a published one but not its bytes (a download that was cut).
    """
    ours = {"sha256": sha256}
    if path.suffix in (".h5", ".hdf5"):
        ours["md5"] = checksum(path, "md5")
    for known in KNOWN_FILES:
        if ours.get(known.algorithm, "").startswith(known.checksum):
            return known
    for known in KNOWN_FILES:
        if known.name == path.name and not trust_name:
            raise WeightsError(
                f"{path}: its {known.algorithm} is {ours[known.algorithm]}, that of the published {known.name} "
                f"{'starts with' if len(known.checksum) < 32 else 'is'} {known.checksum}: the download was cut or the "
                "file was changed; download it again, or pass its preprocessing to use it as it is"
            )
    return None


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads every array of a file, under its name there, and the file's metadata (safetensors only).

    Raises:
        WeightsError: no such file, a kind of file that is not read here, or one that is broken.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file of weights")
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"{path}: weights are read from {', '.join(SUFFIXES)}, not from '{path.suffix}'")
    if path.suffix in (".pth", ".pt"):
        _import_torch(path)
    try:
        if path.suffix == ".npz":
            with np.load(path) as file:
                return dict(file), {}
        if path.suffix == ".safetensors":
            with safe_open(path, "numpy") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        return (_read_torch(path) if path.suffix in (".pth", ".pt") else _read_h5(path)), {}
    except WeightsError:
        raise
    except Exception as error:  # each library has its own kinds, and they all mean this
        reason = (str(error).strip().splitlines() or [""])[0]
        raise WeightsError(
            f"{path}: cannot be read as {path.suffix} ({type(error).__name__}: {reason}): the file is broken or cut"
        ) from error


def _import_torch(path: Path):
    try:
        import torch
    except ImportError as error:
        raise WeightsError(f"{path}: reading {path.suffix} needs torch: pip install 'guided_jax[torch]'") from error
    return torch


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    torch = _import_torch(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path}: not a state dict (name -> tensor); save model.state_dict()")
    return {name: value.detach().to(torch.float32).numpy() for name, value in state.items()}


def _read_h5(path: Path) -> dict[str, np.ndarray]:
    arrays = {}

    def visit(name: str, node) -> None:
        if isinstance(node, h5py.Dataset):
            arrays[name] = node[()]

    with h5py.File(path) as file:
        # A whole model that Keras saved has its optimizer's arrays beside this group.
        file.get("model_weights", file).visititems(visit)
    return arrays
