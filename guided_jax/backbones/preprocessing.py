"""What a set of weights expects of its input: channel order, scale, mean and deviation."""

from dataclasses import asdict, dataclass

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, UInt8


@dataclass(frozen=True)
class Preprocessing:
    """Input of a backbone as a function of the RGB image: (image[channels] * scale - mean) / std.

    Attributes:
        channels: order of the channels, `rgb` or `bgr`.
        scale: factor on the values 0..255.
        mean: what is subtracted from the scaled values, in the order of `channels`.
        std: what the result is divided by, in the order of `channels`.
    """

    channels: str
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self):
        if self.channels not in ("rgb", "bgr"):
            raise ValueError(f"channels of a preprocessing are 'rgb' or 'bgr', not {self.channels!r}")
        if self.scale <= 0 or min(self.std) <= 0:
            raise ValueError(f"scale and std of a preprocessing are positive, not {self.scale} and {self.std}")

    def key(self) -> str:
        """Text that is the same for equal preprocessings only, whatever the process: for cache keys."""
        mean, std = (",".join(map(repr, values)) for values in (self.mean, self.std))
        return f"{self.channels} scale={self.scale!r} mean={mean} std={std}"

    def to_dict(self) -> dict:
        """Fields as JSON takes them; `from_dict` is the inverse."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, fields: dict) -> "Preprocessing":
        """Reads what `to_dict` gives.

        Raises:
            ValueError: fields are missing, surplus or out of range.
        """
        if set(fields) != {"channels", "scale", "mean", "std"}:
            raise ValueError(f"a preprocessing has the fields channels, scale, mean and std, not {', '.join(fields)}")
        for name in ("mean", "std"):
            if len(fields[name]) != 3:
                raise ValueError(f"{name} of a preprocessing has 3 values, one a channel, not {len(fields[name])}")
        mean, std = (tuple(float(value) for value in fields[name]) for name in ("mean", "std"))
        return cls(fields["channels"], float(fields["scale"]), mean, std)


CAFFE = Preprocessing("bgr", 1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0))
"""Weights of Caffe as their authors give them (Oxford), and all that is converted from these (Keras, the `.pth`)."""

CAFFE_ILSVRC = Preprocessing("bgr", 1.0, (0.40787054 * 255, 0.45752457 * 255, 0.48109378 * 255), (1.0, 1.0, 1.0))
"""The same weights with the mean (104.007, 116.669, 122.679) of FCN and of the guided networks' own code."""

CAFFE_RGB = Preprocessing("rgb", 1.0, (123.68, 116.779, 103.939), (1.0, 1.0, 1.0))
"""The same weights with the channels of the first kernel turned round, as some conversions to TensorFlow have it."""

TORCHVISION = Preprocessing("rgb", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""torchvision's own training on ImageNet, timm's copies of it, and most encoders since."""

KERAS = CAFFE

PREPROCESSINGS = {
    "caffe": CAFFE,
    "caffe-ilsvrc": CAFFE_ILSVRC,
    "torchvision": TORCHVISION,
    "keras": KERAS,
    "caffe-rgb": CAFFE_RGB,
}
"""The preprocessings by the names that flags and errors use."""


def named_preprocessing(name: str) -> Preprocessing:
    """Looks a preprocessing up by its name.

    Raises:
        ValueError: no preprocessing of that name.
    """
    if name not in PREPROCESSINGS:
        raise ValueError(f"preprocessing {name!r} is not one of {', '.join(PREPROCESSINGS)}")
    return PREPROCESSINGS[name]


def normalise(
    image: UInt8[Array, "*b h w 3"], preprocessing: Preprocessing, dtype: DTypeLike
) -> Float[Array, "*b h w 3"]:
    """Turns RGB images into a backbone's input, on the device.

    Computed in float32 and rounded to `dtype` once. The padding of a canvas is not 0 afterwards: the trunk zeroes it.
    """
    channels = image if preprocessing.channels == "rgb" else image[..., ::-1]
    along_channels = (1,) * (image.ndim - 1) + (3,)
    mean, std = (
        jnp.asarray(values, jnp.float32).reshape(along_channels) for values in (preprocessing.mean, preprocessing.std)
    )
    return ((channels.astype(jnp.float32) * preprocessing.scale - mean) / std).astype(dtype)
