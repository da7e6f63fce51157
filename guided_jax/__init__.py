"""Guided networks for few-shot segmentation, in JAX and Flax.

    import guided_jax
    model = guided_jax.load("guide.safetensors")
    session = guided_jax.Session(model)
    session.add("photo", image)               # uint8 [height, width, 3]
    session.click("photo", 120, 340, 1)       # row, column, label: 0 is the negative
    mask = session.mask("photo")              # uint8 [height, width]

Importing the package imports nothing else, not even JAX: what it gives is imported when it is first asked for, so that
`guided_jax.episode` stays light enough for the processes of a data loader.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from guided_jax.episode import Episode
    from guided_jax.loading import load
    from guided_jax.model_config import ModelConfig
    from guided_jax.segmentor import Segmentor
    from guided_jax.session import Session
    from guided_jax.video import VideoSegmentor
    from guided_jax.without_training import in_context

    __version__: str

__all__ = ["Episode", "ModelConfig", "Segmentor", "Session", "VideoSegmentor", "__version__", "in_context", "load"]

_HOMES = {
    "Episode": "episode",
    "ModelConfig": "model_config",
    "Segmentor": "segmentor",
    "Session": "session",
    "VideoSegmentor": "video",
    "in_context": "without_training",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value = _version()
    elif name in _HOMES:
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    """The installed package's version; `unknown` for a checkout that is not installed."""
    from importlib import metadata

    try:
        return metadata.version(__name__)
    except metadata.PackageNotFoundError:
        return "unknown"
