"""torchvision beside a PyTorch without CUDA."""

from importlib import metadata


def name_operators() -> None:
    """Names the operators that torchvision's import asks for, before it is imported.

    PyPI's torchvision holds them in a library that needs CUDA's PyTorch. Its models do without them.
    """
    import torch

    if torch.version.cuda is None and _is_pypis() and not _NAMED:
        _NAMED.append(torch.library.Library("torchvision", "DEF"))
        for name in ("nms", "qnms"):
            _NAMED[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


_NAMED: list = []


def _is_pypis() -> bool:
    try:
        return "+" not in metadata.version("torchvision")
    except metadata.PackageNotFoundError:
        return False
