"""The command that serves the page: what it refuses, what it says, and that killing it loses nothing."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image
from websockets.sync.client import connect

from experiments import annotate
from experiments.settings.command_line import guarded
from guided_jax.snapshots.files import write_parameters
from tests.experiments.whole_runs.processes import SETTINGS, STARTED, programs
from tests.guided_jax.small_models import small_model
from tests.guided_jax.variants import VARIANTS


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    image = np.full((60, 80, 3), 70, np.uint8)
    image[15:45, 20:50] = (220, 60, 40)
    Image.fromarray(image).save(folder / "1.png")
    return folder


def run(*words) -> int:
    return guarded(lambda: annotate.main(["guided_jax annotate", *map(str, words)]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: no such file or folder; a folder of images, a video or images were expected"),
        (["images", "images/1.png"], "images: is a folder; give one folder, or one video, or images"),
        (["images", "--workdir=images/1.png"], "--workdir=images/1.png: is a file, not a folder; name another"),
        (["images", "--model=nothing"], "nothing: no such file or folder; a .safetensors, the workdir of a run or a"),
        (["empty"], "empty: holds no image (.jpg,"),
        (["notes.mp4"], "notes.mp4"),
        (["images", "--port=99999"], "port"),
        (["images", "--host=256.1.1.1"], "--port=8090 at 256.1.1.1:"),
    ],
)
def test_what_is_refused_in_one_line(words, message, images, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.mp4").write_text("no video")
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    shown, told = capsys.readouterr()
    assert shown == "" and told.startswith("error: ") and message in told and told.count("\n") == 1
    assert not list(tmp_path.rglob(".guided_jax")) and not list(tmp_path.rglob(".guided_jax/*"))


def test_a_taken_port_is_told(images, capsys):
    from guided_jax.annotate.web.server import bind

    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert run(f"--port={port}", images) == 2
    assert f"--port={port} at 127.0.0.1: Address already in use; another port may be free" in capsys.readouterr().err


def test_the_folder_of_sessions_lies_beside_what_is_annotated(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = {
        (str(images),): images / ".guided_jax",
        (str(images / "1.png"),): images / ".guided_jax",
        (): annotate.Path(".guided_jax"),
        (str(images), "--workdir=else"): annotate.Path("else"),
    }
    assert {words: annotate.parse(["x", *words]).workdir for words in folders} == folders
    assert annotate.parse(["x"]).model == "vgg16-decoder"


class Served:
    """The command as a process."""

    def __init__(self, images, model, port=0):
        words = ["annotate", f"--model={model}", f"--port={port}", str(images)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "experiments", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **SETTINGS, **programs()},
        )
        STARTED.append(self.process)
        self.told = []
        for line in self.process.stdout:
            self.told.append(line)
            if found := re.match(r"open http://127\.0\.0\.1:(\d+)/$", line):
                self.port = int(found[1])
                return
        raise AssertionError("".join(self.told))

    @contextmanager
    def entered(self, session=""):
        """A connection, and what the server greets it with."""
        origin = f"http://127.0.0.1:{self.port}"
        with connect(f"ws://127.0.0.1:{self.port}/socket", origin=origin) as socket:
            socket.send(json.dumps({"type": "hello", "session": session, "tab": "t"}))
            yield socket, json.loads(socket.recv(timeout=30))


def click(seq: int) -> str:
    event = {"edit": "click", "image": "1.png", "row": 20 + seq, "column": 30, "label": 1, "seq": seq}
    return json.dumps({"type": "edit", "event": event})


def wait_for(socket, seq: int) -> dict:
    """The first state in which an edit is made."""
    while True:
        message = socket.recv(timeout=30)
        if isinstance(message, str) and (state := json.loads(message))["type"] == "state" and state["seq"] >= seq:
            return state


def test_a_killed_server_loses_nothing_and_edits_that_come_twice_are_made_once(images, tmp_path):
    model, params = small_model(**VARIANTS["prototypes"])
    file = tmp_path / "tiny.safetensors"
    write_parameters(file, model.config, params, model.preprocessing)
    first = Served(images, file)
    assert first.told[0] == f"model: {file}\n" and "1 images; sessions are kept in" in first.told[1]
    with first.entered() as (socket, welcome):
        assert (welcome["how"], welcome["seq"], welcome["names"]) == ("new", 0, ["1.png"])
        for seq in (1, 2, 3):
            socket.send(click(seq))
        wait_for(socket, 3)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    first.process.stdout.close()

    second = Served(images, file)
    with second.entered(welcome["session"]) as (socket, again):
        assert (again["how"], again["seq"], again["session"]) == ("same", 3, welcome["session"])
        socket.send(json.dumps({"type": "view", "image": "1.png", "heat": False}))
        for seq in (2, 3, 4):  # the browser is not sure that 2 and 3 arrived
            socket.send(click(seq))
        state = wait_for(socket, 4)
        assert [mark["point"][0] for mark in state["marks"]] == [21, 22, 23, 24] and state["undo"]
    second.process.send_signal(signal.SIGINT)
    assert second.process.wait(timeout=30) in (0, 130)
    second.process.stdout.close()
    (kept,) = images.glob(".guided_jax/*/annotations.json")
    assert len(json.loads(kept.read_text())["images"][0]["marks"]) == 4
