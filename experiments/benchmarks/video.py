"""Frames a second of a clip: from the video file to the masks on disk, of the network alone, and of PyTorch's encoder.

    guided_jax benchmark video [--size=480x854] [--frames=16] [--memory=none] [--model=NAME|FILE|DIR] [--workdir=DIR]

A clip of a moving disc is written as H.264. *End to end*: it is decoded, segmented from the dense annotation of its
first frame by a `VideoSegmentor`, and each mask written as PNG. *Network*: frames in memory, nothing written.
*PyTorch*: the convolutions of VGG-16 alone, a frame at a time, channels last, without gradients, in float32 and in
bfloat16: what any network on that encoder costs at least. They alternate, after a warm-up.
"""

import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from absl import flags

from experiments.benchmarks.command import SIZE, define_result, need_torch, open_result, parse_size, write_result
from experiments.benchmarks.timing import alternate
from experiments.settings.command_flags import own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.errors import user_mistakes
from experiments.settings.help_texts import Command
from guided_jax.clips import open_clip
from guided_jax.loading import load
from guided_jax.masks.palette import to_png
from guided_jax.masks.video import encode_video
from guided_jax.shipped import DEFAULT
from guided_jax.video.segmentor import VideoSegmentor

COMMAND = Command("guided_jax benchmark video", __doc__)


def draw_clip(frames: int, height: int, width: int) -> tuple[list[np.ndarray], np.ndarray]:
    """RGB frames of two discs that move over noise, and the mask of the first disc in the first frame."""
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(0, 256, (9, 16, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    radius = min(height, width) // 6
    places = [(width // 4 + number * width // (3 * frames), height // 2) for number in range(frames)]
    images = [cv2.circle(ground.copy(), place, radius, (220, 40, 40), cv2.FILLED) for place in places]
    mask = cv2.circle(np.zeros((height, width), np.uint8), places[0], radius, 1, cv2.FILLED)
    return images, mask


def measure_video(
    segmentor: VideoSegmentor, height: int, width: int, frames: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Times a clip.

    Returns:
        By name the median frames a second, and how many times those of PyTorch's encoder in float32 they are.
    """
    images, mask = draw_clip(frames, height, width)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.mp4"
        with file.open("wb") as opened:
            encode_video(opened, images, (height, width), 24)
        functions = {
            "end to end": partial(_end_to_end, segmentor, file, mask, Path(folder)),
            "network": partial(_segment, segmentor, images, mask),
            **{f"PyTorch, VGG-16 alone, {dtype}": encode for dtype, encode in torch_encoders(images).items()},
        }
        for function in functions.values():
            function()
        times = alternate(functions, rounds)
    rates = {name: 1000 * frames / statistics.median(each) for name, each in times.items()}
    reference = rates["PyTorch, VGG-16 alone, float32"]
    return {name: {"frames_per_second": rate, "ratio": rate / reference} for name, rate in rates.items()}


def _segment(segmentor, images, mask, *, write: Callable[[int, np.ndarray], object] = lambda number, labels: None):
    guidance = segmentor.guide(images[0][None], mask[None, None], way=2)
    for number, labels in enumerate(segmentor.segment(guidance, iter(images))):
        write(number, labels[0])


def _end_to_end(segmentor, file: Path, mask, folder: Path):
    clip = open_clip(file)
    _segment(segmentor, clip, mask, write=lambda i, labels: (folder / f"{i:05d}.png").write_bytes(to_png(labels)))


def torch_encoders(images: list[np.ndarray]) -> dict[str, Callable[[], None]]:
    """The functions that encode all frames by VGG-16's convolutions in PyTorch, by data type."""
    import torch

    from experiments.benchmarks.torch_guided import convolutions

    def encode(network, dtype):
        with torch.inference_mode():
            for image in images:
                values = torch.from_numpy(image).permute(2, 0, 1)[None].to(dtype)
                network(values.contiguous(memory_format=torch.channels_last))

    return {
        str(dtype).removeprefix("torch."): partial(
            encode, convolutions().eval().to(dtype).to(memory_format=torch.channels_last), dtype
        )
        for dtype in (torch.float32, torch.bfloat16)
    }


def main(argv: list[str]) -> None:
    """Measures, prints and writes."""
    values = own_flags()
    flags.DEFINE_string("size", SIZE, "`HEIGHTxWIDTH` of the frames in pixels.", flag_values=values)
    flags.DEFINE_integer("frames", 16, "Number `N` of frames of the clip.", 1, 100_000, flag_values=values)
    flags.DEFINE_integer("rounds", 3, "Number `N` of timings of each.", 1, flag_values=values)
    flags.DEFINE_enum("memory", "none", ["none", "forward"], "As `guided_jax video`.", flag_values=values)
    flags.DEFINE_string("model", DEFAULT, "`NAME|FILE|DIR` of the model.", flag_values=values)
    define_result(values, "video")
    read_flags(argv, values, COMMAND)
    height, width = parse_size(values.size)
    need_torch()
    workdir = open_result(values)
    with user_mistakes():
        segmentor = VideoSegmentor(load(values.model), memory=values.memory)
        rows = measure_video(segmentor, height, width, values.frames, values.rounds)
    for name, row in rows.items():
        print(f"{name:>32}: {row['frames_per_second']:7.2f} frames/s, {row['ratio']:6.2f} times PyTorch's encoder")
    about = {"height": height, "width": width, "frames": values.frames, "memory": values.memory}
    write_result(workdir, "video", {"rows": rows, **about, "model": values.model})


if __name__ == "__main__":
    sys.exit(start(main))
