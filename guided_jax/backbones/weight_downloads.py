"""Published weights by name: downloaded once into a cache, and checked."""

import os
import sys
from pathlib import Path

from guided_jax.backbones.backbone import Backbone
from guided_jax.backbones.file_formats import WeightsError, no_weights, plain
from guided_jax.backbones.hugging_face import check_hub, fetch, is_on_hub
from guided_jax.backbones.known_file import KnownFile, checksum
from guided_jax.backbones.known_weights import named_weights, where_to_get

CACHE_VARIABLE = "GUIDED_JAX_CACHE"
"""Environment variable that names the folder of downloaded weights."""

_SECONDS = 30  # without an answer


def cache_folder() -> Path:
    """The folder of downloaded weights: `GUIDED_JAX_CACHE`, or else the system's place for caches.

    Raises:
        WeightsError: the variable names the home of a user that there is not.
    """
    if named := os.environ.get(CACHE_VARIABLE):
        try:
            return Path(named).expanduser().absolute()
        except RuntimeError as error:
            raise WeightsError(
                f"the environment has {CACHE_VARIABLE}={named}: there is no such user, whose home ~ stands for"
            ) from error
    import pooch  # brings the client of HTTP with it, which only a download needs

    return Path(pooch.os_cache("guided_jax"))


def check_weights(weights: str | Path, backbone: Backbone | None = None) -> None:
    """Raises WeightsError where weights are no file and no name of published ones, or have no folder to go to.

    Also where they are published ones of another backbone than the one given.
    """
    if is_on_hub(weights):
        check_hub(str(weights))
        return
    if known := named_weights().get(str(weights)):
        if backbone and known not in backbone.known_files:
            hint = where_to_get(weights, backbone) or f"give a file of weights of {backbone.title}"
            raise WeightsError(f"{weights}: is {known.source}; model.backbone={backbone.name}: {hint}")
        try:
            cache_folder()
        except WeightsError as error:
            raise WeightsError(f"{weights}: {error}") from error
        return
    path = Path(weights).expanduser()
    if not path.is_file():
        what = "is a folder; name the file" if path.is_dir() else "there is no such file of weights"
        hint = where_to_get(path, backbone)
        raise WeightsError(f"{weights}: {what}" + (f"; {hint}" if hint else ""))


def locate(weights: str | Path) -> Path:
    """The file of weights: downloaded where published ones, or of the hub, are named, and not in the cache yet.

    Raises:
        WeightsError: there is no such file, or it cannot be downloaded.
    """
    check_weights(weights)
    if is_on_hub(weights):
        return fetch(str(weights))
    known = named_weights().get(str(weights))
    return _cached(known) if known else Path(weights).expanduser()


def _cached(known: KnownFile) -> Path:
    folder = cache_folder()
    path = folder / known.name
    if path.is_file() and known.is_whole(checksum(path, known.algorithm)):
        return path
    import pooch
    from requests.exceptions import ConnectionError, RequestException, Timeout

    def download(url: str, output: str, keeper) -> None:
        shows = sys.stderr.isatty()
        pooch.HTTPDownloader(progressbar=shows, chunk_size=1 << 16, timeout=_SECONDS)(url, output, keeper)
        got = Path(output)
        if not known.is_whole(digest := checksum(got, known.algorithm)):
            what = no_weights(got) or "it was cut or changed on its way"
            raise WeightsError(
                f"{known.short}: the {known.algorithm} of what came from {url} is {digest}, that of the published file "
                f"{known.expected()}: {what}; it was not kept"
            )

    try:
        path.unlink(missing_ok=True)  # cut, or of another
        # The checksum of one is published in part only, so that pooch cannot check it.
        keeper = pooch.create(folder, base_url="", registry={known.name: None}, urls={known.name: known.url})
        return Path(keeper.fetch(known.name, downloader=download))
    except RequestException as error:
        if isinstance(error, Timeout):
            reason = f"no answer in {_SECONDS} s"
        elif isinstance(error, ConnectionError):
            reason = "no connection; is there a network?"
        else:
            reason = plain(str(error))
        raise WeightsError(
            f"{known.short}: cannot be downloaded from {known.url}: {reason}; get the file elsewhere, and give its "
            f"path or put it into {folder}"
        ) from error
    except OSError as error:
        raise WeightsError(
            f"{known.short}: cannot be kept in {folder}: {error.strerror or plain(str(error))}; name another folder by "
            f"the environment variable {CACHE_VARIABLE}"
        ) from error
