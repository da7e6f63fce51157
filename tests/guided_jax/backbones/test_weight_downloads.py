"""Weights by name, from a server on this machine."""

import hashlib
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from guided_jax.backbones import known_weights
from guided_jax.backbones.file_formats import WeightsError
from guided_jax.backbones.known_file import KnownFile
from guided_jax.backbones.known_weights import KNOWN_FILES, named_weights
from guided_jax.backbones.preprocessing import TORCHVISION
from guided_jax.backbones.pretrained import read_weights
from guided_jax.backbones.weight_downloads import CACHE_VARIABLE, cache_folder, check_weights, locate
from tests.guided_jax.backbones.small_weights import LAYERS, SMALL_VGG, check_layers
from tests.guided_jax.backbones.test_pretrained import own_names, write_npz

pooch = pytest.importorskip("pooch")


class Server(ThreadingHTTPServer):
    """Answers every request with `content`, promising `length` bytes, and counts the requests."""

    content, status, length, asked = b"", 200, None, 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked += 1
        self.send_response(self.server.status)
        length = len(self.server.content) if self.server.length is None else self.server.length
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def content(tmp_path):
    return write_npz(tmp_path / "made.npz", own_names(LAYERS)).read_bytes()


@pytest.fixture(params=[("sha256", 64), ("sha256", 8), ("md5", 32)], ids=["sha256", "beginning", "md5"])
def published(request, server, content, monkeypatch):
    """One published file, called `small`, which the server has."""
    algorithm, length = request.param
    server.content = content
    url = f"http://127.0.0.1:{server.server_port}/small.npz"
    checksum = hashlib.new(algorithm, content).hexdigest()[:length]
    known = KnownFile("small.npz", algorithm, checksum, TORCHVISION, "small", short="small", url=url, megabytes=1)
    monkeypatch.setattr(known_weights, "KNOWN_FILES", (known,))
    return known


def test_downloaded_once_and_read(published, server, cache):
    for _ in range(2):
        weights = read_weights("small", backbone=SMALL_VGG)
        check_layers(weights.layers, LAYERS)
        assert (weights.preprocessing, weights.source) == (TORCHVISION, "small")
    assert server.asked == 1
    assert [path.name for path in cache.iterdir()] == ["small.npz"]


def test_a_damaged_file_in_the_cache_is_downloaded_again(published, server, cache, content):
    path = locate("small")
    path.write_bytes(content[:100])
    assert locate("small") == path
    assert path.read_bytes() == content and server.asked == 2


WRONG = {
    "another": (b"something else", r"what came from .* is [0-9a-f]+, .* it was cut or changed on its way"),
    "html": (b"<!DOCTYPE html><html>log in</html>", "it is an HTML page, not the file itself.*; it was not kept"),
    "empty": (b"", "the file is empty"),
}


@pytest.mark.parametrize(("sent", "message"), WRONG.values(), ids=WRONG)
def test_what_has_another_checksum_is_not_kept(published, server, cache, sent, message):
    server.content = sent
    with pytest.raises(WeightsError, match=message) as caught:
        locate("small")
    assert published.checksum in str(caught.value) and "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


def test_a_connection_that_ends_early(published, server, cache, content):
    server.content, server.length = content[:1000], len(content)
    with pytest.raises(WeightsError, match=r"small: cannot be downloaded from http://127.*; get the file elsewhere"):
        locate("small")
    assert list(cache.iterdir()) == []


def test_the_server_has_no_such_file(published, server, cache):
    server.status, server.content = 404, b"gone"
    with pytest.raises(WeightsError, match=rf"404 Client Error.*; get the file elsewhere.* put it into {cache}$"):
        locate("small")


def test_no_network(published, server, cache):
    server.server_close()
    with pytest.raises(WeightsError, match=r"small: cannot be downloaded from .*: no connection; is there a network\?"):
        locate("small")


def test_no_network_is_needed_for_what_is_there(published, server, cache, content):
    server.server_close()
    cache.mkdir()
    (cache / "small.npz").write_bytes(content)
    assert locate("small") == cache / "small.npz"


def test_a_cache_that_cannot_be_written(published, cache):
    cache.write_text("a file, not a folder")
    with pytest.raises(WeightsError, match=f"cannot be kept in {cache}: .*environment variable {CACHE_VARIABLE}$"):
        locate("small")


def test_the_folder_of_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, "~/weights")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "weights"
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_folder() == Path(pooch.os_cache("guided_jax"))


def test_a_cache_in_the_home_of_nobody(monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, "~nobody-at-all/x")
    for name in ("vgg16", "vgg16-caffe"):
        with pytest.raises(
            WeightsError, match=rf"^{name}: the environment has {CACHE_VARIABLE}=~nobody.*: there is no"
        ):
            check_weights(name)


def test_files_are_named_by_their_paths(tmp_path, monkeypatch):
    (tmp_path / "a.npz").write_bytes(b"x")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate("~/a.npz") == locate(tmp_path / "a.npz") == tmp_path / "a.npz"


MISSING = {
    "no.npz": "there is no such file of weights; --config.weights=vgg16 downloads Oxford's VGG-16, Keras's copy, "
    r"convolutions, \(59 MB\) from https://storage\.googleapis\.com/.*; further names: vgg16-fc, vgg16-torchvision, "
    "vgg16-caffe, resnet50, resnet50-v2, resnet101, resnet101-v2$",
    "weights/vgg16-00b39a1b.pth": r"--config\.weights=vgg16-caffe downloads it \(553 MB\) from https://web\.eecs\.",
    "vgg19": "vgg19: there is no such file of weights; --config.weights=vgg16 downloads",
    ".": "is a folder; name the file",
}


@pytest.mark.parametrize(("weights", "message"), MISSING.items(), ids=MISSING)
def test_missing_weights_are_told_where_to_get(weights, message):
    with pytest.raises(WeightsError, match=message):
        check_weights(weights)


def test_the_names():
    names = "vgg16 vgg16-fc vgg16-torchvision vgg16-caffe resnet50 resnet50-v2 resnet101 resnet101-v2"
    assert list(named_weights()) == names.split()
    for known in named_weights().values():
        assert known.url.startswith("https://") and known.url.endswith(f"/{known.name}") and known.megabytes
        check_weights(known.short)
    assert all(len(known.checksum) >= 8 for known in KNOWN_FILES)
