"""The graphs of the reference in PyTorch, from their published facts and on its state dicts: a test's oracle.

Float64 throughout. An image is uint8 [h, w, 3] RGB, an annotation uint8 [h, w] with 255 where there is none;
logits are [labels, h, w].
"""

import numpy as np
import torch
from torch.nn import functional as F

torch.set_num_threads(1)  # the tests' networks are narrow: threads would mostly wait for each other

MEAN = 255 * np.array([0.40787054, 0.45752457, 0.48109378])  # BGR


def direct(state, image, annotation=None, *, positive_first=False):
    """fcn32s and fg-bg; with an annotation the interactive early network."""
    x = _image(image)
    if annotation is not None:
        x = torch.cat([x, _discs(annotation, positive_first)], 1)
    x = F.relu(_conv(state, "encoder.fc7", _features(state, "encoder", x)))
    return _decode(state, _conv(state, "head", x), image)[0]


def late(state, query, shots, *, way=2, local=False, shared=True, every_shot=False):
    """Late fusion: `interactive-late` (local), `interactive-late-glob` and `cofeat-late`, shared or not.

    Args:
        state: arrays by name.
        query: image.
        shots: pairs of image and annotation.
        way: number of labels.
        local: the guidance keeps its map.
        shared: one metric a label; else one head on [query, positive, negative].
        every_shot: an unannotated shot counts in the mean of a label.
    """
    features = _features(state, "encoder", _image(query))
    z = []
    for label in range(way):
        maps = []
        for image, annotation in shots:
            maps.append(_features(state, "encoder", _image(image)) * _mask(state, annotation == label))
        if local:
            z.append(maps[0])
            continue
        shots_of_label = sum(bool((annotation == label).any()) for _, annotation in shots)
        total = sum(each.sum((2, 3), keepdim=True) for each in maps)
        z.append((total / (len(shots) if every_shot else max(shots_of_label, 1))).expand_as(features))
    if shared:
        scores = torch.cat([_head(state, torch.cat([features, each], 1)) for each in z], 0)
        return _decode(state, scores, query)[:, 0]
    return _decode(state, _head(state, torch.cat([features, z[1], z[0]], 1)), query)[0]


def cofeat_early(state, query, shots, *, positive_first=False):
    """Early fusion with an encoder of its own for the support (co-FCN)."""
    features = _features(state, "qry_encoder", _image(query))
    cells = []
    for image, annotation in shots:
        x = torch.cat([_image(image), _discs(annotation, positive_first)], 1)
        cells.append(_features(state, "supp_encoder", x).flatten(2))
    z = torch.cat(cells, 2).mean(2)[..., None, None].expand_as(features)
    return _decode(state, _head(state, torch.cat([z, features], 1)), query)[0]


def _tensor(array):
    return torch.tensor(np.asarray(array, np.float64))


def _image(image):
    return _tensor(image[..., ::-1] - MEAN).permute(2, 0, 1)[None]


def _discs(annotation, positive_first):
    planes = _tensor(np.stack([annotation == label for label in ((1, 0) if positive_first else (0, 1))]))
    return F.max_pool2d(planes[None], 11, stride=1, padding=5) * 256 - 128


def _conv(state, name, x, **kwargs):
    return F.conv2d(x, _tensor(state[f"{name}.weight"]), _tensor(state[f"{name}.bias"]), **kwargs)


def _features(state, encoder, x):
    """relu(fc6) at stride 32; the first convolution is padded by 81."""
    names = sorted(
        key.removesuffix(".weight") for key in state if key.startswith(f"{encoder}.conv") and "weight" in key
    )
    for name, following in zip(names, [*names[1:], ""], strict=True):
        x = F.relu(_conv(state, name, x, padding=81 if name.endswith("conv1_1") else 1))
        if name[:-2] != following[:-2]:
            x = F.max_pool2d(x, 2, 2, ceil_mode=True)
    return F.relu(_conv(state, f"{encoder}.fc6", x))


def _mask(state, points):
    """The mask of one label on the grid, of sum 1 but for the reference's epsilon."""
    plane = F.pad(_tensor(points)[None, None], (0, 31, 0, 31))
    mask = F.conv2d(plane, _tensor(state["anno_enc.weight"]), stride=32)
    return mask / (1e-6 + mask.sum())


def _head(state, x):
    return _conv(state, "head.score", F.relu(_conv(state, "head.fc7", x)))


def _decode(state, scores, image):
    """Upsampled without normalisation, cropped at the top left."""
    up = F.conv_transpose2d(scores, _tensor(state["decoder.weight"]), stride=32)
    return up[..., : image.shape[0], : image.shape[1]].numpy()
