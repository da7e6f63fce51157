"""Weights of the hub: the hub's own client, and a server on this machine in the hub's place."""

import builtins
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from guided_jax.backbones.file_formats import WeightsError
from guided_jax.backbones.hugging_face import check_hub, fetch, is_on_hub

huggingface_hub = pytest.importorskip("huggingface_hub")


class Handler(BaseHTTPRequestHandler):
    """Has the files of `server.files`; what is refused has the hub's name of an error."""

    def do_HEAD(self):
        content = self.server.files.get(self.path)
        status, error = self.server.refusal or ((200, "") if content else (404, "EntryNotFound"))
        self.send_response(status)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", '"some"')
        self.send_header("Content-Length", str(len(content or b"")))
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        return content if status == 200 else None

    def do_GET(self):
        self.server.asked += 1
        self.wfile.write(self.do_HEAD() or b"")

    def log_message(self, *words):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.refusal, server.asked = {}, None, 0
        at = {"endpoint": f"http://127.0.0.1:{server.server_port}", "cache_dir": tmp_path / "cache"}
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", partial(huggingface_hub.hf_hub_download, **at))
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_fetched_once(hub):
    hub.files["/some/model/resolve/main/model.safetensors"] = b"weights"
    assert [fetch("hf:some/model").read_bytes() for _ in range(2)] == [b"weights"] * 2
    assert hub.asked == 1


def test_another_file(hub):
    hub.files["/some/model/resolve/main/parts/last.pth"] = b"others"
    path = fetch("hf:some/model/parts/last.pth")
    assert (path.name, path.read_bytes()) == ("last.pth", b"others")


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (None, "hf:some/model: the model has no file model.safetensors; name one as hf:some/model/FILE"),
        ((403, "GatedRepo"), "its licence must be accepted first: at https://huggingface.co/some/model, then log in"),
        ((401, "RepoNotFound"), "there is no model some/model at https://huggingface.co/some/model, or it is not pub"),
    ],
)
def test_what_the_hub_refuses_is_told_in_a_line(hub, refusal, message):
    hub.refusal = refusal
    with pytest.raises(WeightsError, match=message) as caught:
        fetch("hf:some/model")
    assert "\n" not in str(caught.value)


def test_without_a_network(hub, monkeypatch):
    offline = partial(huggingface_hub.hf_hub_download, local_files_only=True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(WeightsError, match="hf:some/model: not in the cache, and the hub does not answer"):
        fetch("hf:some/model")


@pytest.mark.parametrize("weights", ["hf:", "hf:model", "hf:some/model/", "hf:a b/model", "hf:../model", "hf:a/b/../c"])
def test_what_is_no_name_of_the_hub(weights):
    assert is_on_hub(weights) and not is_on_hub(weights.removeprefix("hf:"))
    with pytest.raises(WeightsError, match="write hf:ORG/NAME, as hf:facebook/dinov2-small, or hf:ORG/NAME/FILE"):
        check_hub(weights)


def test_without_the_package(monkeypatch):
    whole = builtins.__import__

    def without(name, *rest):
        if name == "huggingface_hub":
            raise ImportError(name)
        return whole(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(WeightsError, match=r"needs huggingface_hub: pip install 'guided_jax\[hf\]'"):
        check_hub("hf:some/model")
