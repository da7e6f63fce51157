"""The paper's guide and its training step in PyTorch, to measure against: `interactive-late-glob-lite` and its kin.

VGG-16 with the first convolution padded by 81, fc6 256 wide, guidance pooled globally and shared by the labels, and a
bilinear upsampling by 32: the graph of the reference, from its published facts. Two ways to train it:

- `reference`: as the reference's code does. One episode an update, float32, channels first; support and query are
  encoded one after the other where they are different images, and nothing is cached.
- `modern`: as one would write it in PyTorch today. All images of a batch in one pass, channels last, bfloat16 by
  autocast, and the optimiser fused over the parameters.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn
from torch.nn import functional as F

from guided_jax.episode import UNKNOWN

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
WIDTH = 256
"""Of fc6."""

MEAN = (104.00699, 116.66877, 122.67892)
"""Of Caffe's ILSVRC, BGR, as the reference subtracts."""


class TorchEpisodes(NamedTuple):
    """A batch whose images have one size.

    Attributes:
        query: uint8 [b, h, w, 3] RGB.
        support: uint8 [b, s, h, w, 3], or None where the support is the query.
        annotation: uint8 [b, s, h, w].
        target: uint8 [b, h, w].
    """

    query: UInt8[np.ndarray, "b h w 3"]
    support: UInt8[np.ndarray, "b s h w 3"] | None
    annotation: UInt8[np.ndarray, "b s h w"]
    target: UInt8[np.ndarray, "b h w"]


def convolutions(pad: int = 1) -> nn.Sequential:
    """VGG's convolutions, each followed by a rectifier, and the pooling of each stage.

    Args:
        pad: of the first convolution, in pixels.
    """
    layers, channels = nn.Sequential(), 3
    for stage, widths in enumerate(STAGES, 1):
        for i, wide in enumerate(widths, 1):
            layers.add_module(f"conv{stage}_{i}", nn.Conv2d(channels, wide, 3, padding=pad if stage == i == 1 else 1))
            layers.add_module(f"relu{stage}_{i}", nn.ReLU(inplace=True))
            channels = wide
        layers.add_module(f"pool{stage}", nn.MaxPool2d(2, 2, ceil_mode=True))
    return layers


def encoder() -> nn.Sequential:
    """relu(fc6) at stride 32, with its dropout of channels."""
    layers = convolutions(pad=81)
    layers.add_module("fc6", nn.Conv2d(STAGES[-1][-1], WIDTH, 7))
    layers.add_module("relu6", nn.ReLU(inplace=True))
    layers.add_module("drop6", nn.Dropout2d(0.5))
    return layers


class Guided(nn.Module):
    """Late fusion, global guidance, one metric for all labels."""

    def __init__(self, way: int = 2):
        super().__init__()
        self.way = way
        self.encoder = encoder()
        fc7, score = nn.Conv2d(2 * WIDTH, 2 * WIDTH, 1), nn.Conv2d(2 * WIDTH, 1, 1)
        self.head = nn.ModuleDict({"fc7": fc7, "score": score})
        self.drop7 = nn.Dropout2d(0.5)
        bilinear = 1 - torch.abs(torch.arange(64) - 31.5) / 32
        plane = (bilinear[:, None] * bilinear)[None, None]
        self.register_buffer("anno_enc", plane / plane.sum())
        self.register_buffer("decoder", plane)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))

    def forward(self, batch: TorchEpisodes, *, together: bool) -> torch.Tensor:
        """Logits, float32 [b, way, h, w].

        Args:
            batch: of episodes.
            together: support and query in one pass of the encoder.
        """
        query, annotation = self._image(batch.query), torch.as_tensor(batch.annotation, device=self.mean.device)
        b, s, h, w = annotation.shape
        if batch.support is None:
            features = self.encoder(query)
            shots = features[:, None]
        else:
            support = self._image(batch.support.reshape(b * s, h, w, 3))
            if together:
                features, shots = self.encoder(torch.cat([query, support])).split([b, b * s])
            else:
                shots, features = self.encoder(support), self.encoder(query)
            shots = shots.view(b, s, *shots.shape[1:])
        points = torch.stack([annotation == label for label in range(self.way)], 2).flatten(0, 1).float()
        masks = F.conv2d(F.pad(points.flatten(0, 1)[:, None], (0, 31, 0, 31)), self.anno_enc, stride=32)
        masks = masks / (1e-6 + masks.sum((1, 2, 3), keepdim=True))
        masks = masks.view(b, s, self.way, *masks.shape[2:])
        there = points.view(b, s, self.way, -1).any(-1).float()
        total = torch.einsum("bschw,bskhw->bkc", shots.float(), masks)
        z = total / there.sum(1).clamp(min=1)[..., None]
        tiled = z[..., None, None].expand(*z.shape, *features.shape[2:]).flatten(0, 1).to(features.dtype)
        both = torch.cat([features.repeat_interleave(self.way, 0), tiled], 1)
        scores = self.head["score"](self.drop7(F.relu(self.head["fc7"](both)))).float()
        return F.conv_transpose2d(scores, self.decoder, stride=32)[..., :h, :w].view(b, self.way, h, w)

    def _image(self, image):
        image = torch.as_tensor(image, device=self.mean.device).flip(-1).permute(0, 3, 1, 2)
        return image.to(torch.float32) - self.mean


def training_step(kind: str, device: str = "cpu") -> tuple[Guided, Callable[[TorchEpisodes], float]]:
    """A network with random weights, and the function that trains it by a batch and gives the loss.

    Args:
        kind: reference or modern.
        device: of PyTorch.
    """
    torch.manual_seed(0)
    modern = kind == "modern"
    network = Guided().to(device).train()
    if modern:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 1e-5, momentum=0.99, weight_decay=5e-4, fused=modern)

    def step(batch: TorchEpisodes) -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=modern):
            logits = network(batch, together=modern)
        target = torch.as_tensor(batch.target, device=device).long()
        loss = F.cross_entropy(logits.float(), target, ignore_index=UNKNOWN)
        loss.backward()
        optimizer.step()
        return loss.item()

    return network, step
