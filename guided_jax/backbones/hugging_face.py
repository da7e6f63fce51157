"""Weights from the Hugging Face Hub: `hf:ORG/NAME`, kept in the hub's own cache."""

import re
from pathlib import Path

from guided_jax.backbones.file_formats import WeightsError, plain

PREFIX = "hf:"
"""Of the names of weights on the hub."""

_NAME = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:/(.+))?")
_USUAL = "model.safetensors"


def is_on_hub(weights: str | Path) -> bool:
    """Whether weights are named as files of the hub, not as files of this machine."""
    return str(weights).startswith(PREFIX)


def check_hub(weights: str) -> None:
    """Raises WeightsError where a name cannot be of the hub, or the package that asks it is not installed."""
    _split(weights)
    _client(weights)


def fetch(weights: str) -> Path:
    """The file of a model on the hub, downloaded once: `hf:ORG/NAME` is its file model.safetensors.

    A further part names another file, as `hf:ORG/NAME/FILE`. The hub's own settings hold, as `HF_HOME` for the cache,
    `HF_TOKEN` for models whose licence must be accepted first (DINOv3's), `HF_HUB_OFFLINE` for what was fetched before.

    Raises:
        WeightsError: there is no such model or file, it may not be had, or there is no network.
    """
    repository, file = _split(weights)
    client = _client(weights)
    from huggingface_hub import errors

    page = f"https://huggingface.co/{repository}"
    try:
        return Path(client.hf_hub_download(repository, file))
    except errors.GatedRepoError as error:
        raise WeightsError(
            f"{weights}: its licence must be accepted first: at {page}, then log in here by 'hf auth login' or HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise WeightsError(f"{weights}: there is no model {repository} at {page}, or it is not public") from error
    except errors.LocalEntryNotFoundError as error:
        raise WeightsError(f"{weights}: not in the cache, and the hub does not answer; is there a network?") from error
    except errors.EntryNotFoundError as error:
        raise WeightsError(f"{weights}: the model has no file {file}; name one as {PREFIX}{repository}/FILE") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{weights}: cannot be downloaded: {plain(str(error))}") from error


def _split(weights: str) -> tuple[str, str]:
    match = _NAME.fullmatch(weights)
    if not match or ".." in weights:
        raise WeightsError(f"{weights}: write hf:ORG/NAME, as hf:facebook/dinov2-small, or hf:ORG/NAME/FILE")
    return match[1], match[2] or _USUAL


def _client(weights: str):
    try:
        import huggingface_hub
    except ImportError as error:
        raise WeightsError(f"{weights}: needs huggingface_hub: pip install 'guided_jax[hf]'") from error
    return huggingface_hub
