"""ResNets of torchvision with random weights, and with random statistics of every normalisation."""

import numpy as np
import pytest

from tests.guided_jax.backbones.torch_operators import name_operators

TINY = (1, 1, 1, 1)


def random_resnet(blocks=TINY, dilated=(False, False, False), seed=0):
    """In evaluation; of such a scale that maps stay near 1 through any number of blocks."""
    torch = pytest.importorskip("torch", reason="the independent graph: pip install 'guided_jax[test]'")
    name_operators()
    resnet = pytest.importorskip("torchvision.models.resnet", reason="the same")
    network = resnet.ResNet(resnet.Bottleneck, list(blocks), replace_stride_with_dilation=list(dilated))
    randomise(network, torch.Generator().manual_seed(seed))
    return network.eval()


def randomise(network, generator):
    import torch

    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            draw = torch.randn(value.shape, generator=generator)
            if value.ndim == 4:  # He's, of the fan-in
                value.copy_(draw * (2 / value[0].numel()) ** 0.5)
            elif name.endswith("running_var"):
                value.copy_(torch.exp(0.5 * draw))
            elif name.endswith("weight") and value.ndim == 1:
                last = name.endswith(("bn3.weight", "bn3.1.weight"))
                value.copy_((0.3 if last else 1.0) * torch.exp(0.2 * draw))
            else:
                value.copy_(0.3 * draw)


def state_of(network) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


def layers_of(network, image: np.ndarray) -> list[np.ndarray]:
    """The maps of the layers 1 to 4, of a normalised image [h, w, 3]: [n, m, c] each."""
    import torch

    with torch.no_grad():
        maps = torch.from_numpy(np.moveaxis(image, -1, 0)[None].copy())
        maps = network.maxpool(network.relu(network.bn1(network.conv1(maps))))
        found = []
        for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
            maps = layer(maps)
            found.append(np.moveaxis(maps[0].numpy(), 0, -1))
    return found
