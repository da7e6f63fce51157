"""The graph of the reference's late-global network in PyTorch, from its published facts: a test's oracle."""

import numpy as np
import torch
from torch.nn import functional as F


def _bilinear(size: int) -> torch.Tensor:
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    profile = 1 - torch.abs(torch.arange(size, dtype=torch.float64) - centre) / factor
    return profile[:, None] * profile[None, :]


def _conv(x, layer, **kwargs):
    kernel = torch.tensor(np.asarray(layer["kernel"], np.float64)).permute(3, 2, 0, 1)
    return F.conv2d(x, kernel, torch.tensor(np.asarray(layer["bias"], np.float64)), **kwargs)


def features(params, stages, image, mean):
    """relu(fc6) of one RGB image [h, w, 3] at stride 2^stages; conv1_1 is padded as the geometry asks."""
    x = torch.tensor(image[..., ::-1].astype(np.float64) - np.array(mean)).permute(2, 0, 1)[None]
    full = 2 ** len(stages)
    kernel = params["neck"]["fc6"]["kernel"].shape[0]
    pad = 1 + full * kernel // 2 - full
    for s, widths in enumerate(stages, 1):
        for i in range(1, len(widths) + 1):
            x = F.relu(_conv(x, params["trunk"][f"conv{s}_{i}"], padding=pad if s == i == 1 else 1))
        x = F.max_pool2d(x, 2, 2, ceil_mode=True)
    return F.relu(_conv(x, params["neck"]["fc6"]))


def guidance(feature, annotation, stride, way):
    """z [way, channels] of one shot: features averaged under the normalised, interpolated annotation."""
    planes = torch.tensor(np.stack([annotation == k for k in range(way)])[:, None].astype(np.float64))
    planes = F.pad(planes, (0, stride - 1, 0, stride - 1))
    kernel = _bilinear(2 * stride)
    masks = F.conv2d(planes, (kernel / kernel.sum())[None, None], stride=stride)
    masks = masks / (1e-6 + masks.sum((1, 2, 3), keepdim=True))
    return (feature * masks).sum((2, 3))


def segment(params, feature, z, stride, size):
    """Logits [way, h, w] of the shared head, upsampled without normalisation and cropped at the top left."""
    head = {k: torch.tensor(np.asarray(v, np.float64)) for k, v in params["head"].items()}
    scores = []
    for each in z:
        tiled = each[None, :, None, None].expand(1, -1, *feature.shape[2:])
        x = torch.cat([feature, tiled], 1)
        x = F.relu(torch.einsum("bchw,cd->bdhw", x, head["fc7_kernel"]) + head["fc7_bias"][None, :, None, None])
        x = torch.einsum("bchw,cd->bdhw", x, head["score_kernel"]) + head["score_bias"][None, :, None, None]
        scores.append(x)
    up = F.conv_transpose2d(torch.cat(scores), _bilinear(2 * stride)[None, None], stride=stride)
    return up[:, 0, : size[0], : size[1]].numpy()
