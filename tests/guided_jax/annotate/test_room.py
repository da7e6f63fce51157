"""A room: edits in their order, the newest mask alone, and runs that do not stand in the way."""

import json
import threading

import numpy as np
import pytest

from guided_jax.annotate.encoder import Encoder
from guided_jax.annotate.files.gallery import Gallery, Picture, open_folder
from guided_jax.annotate.room import Room
from guided_jax.session.marks import LabelMap
from tests.guided_jax.annotate.serving import SIZE, picture, wait_until


@pytest.fixture
def encoder(base):
    made = Encoder(base)
    yield made
    made.close()


@pytest.mark.parametrize("fault", [ValueError("cut short"), MemoryError("too large")])
def test_whoever_waits_for_an_image_hears_why_it_cannot_be_encoded(encoder, fault):
    def read():
        raise fault

    told = []
    encoder.encode(Picture("a.png", read), 0, lambda *message: told.append(message), 2)
    wait_until(lambda: told)
    ((name, error),) = told
    assert name == "a.png" and isinstance(error, ValueError) and str(fault) in str(error)


class Listener:
    """What a room sends."""

    def __init__(self):
        self.messages = []

    def __call__(self, kind, message):
        self.messages.append((kind, message))

    def of(self, kind):
        return [message for each, message in self.messages if each == kind]

    def masks(self):
        """Heads and labels."""
        return [read_frame(message) for message in self.of("mask")]


def read_frame(frame: bytes):
    """Head and labels of a mask, read as the page reads it."""
    length = int.from_bytes(frame[:4], "little")
    head, body = json.loads(frame[4 : 4 + length]), frame[4 + length :]
    runs = LabelMap((head["height"], head["width"]), body[: 4 * head["runs"]], body[4 * head["runs"] :])
    return head, runs.labels()


@pytest.fixture
def open_room(tmp_path, base, encoder):
    rooms = []

    def open_one(gallery: Gallery):
        rooms.append(Room(tmp_path / "room", base.fresh(), gallery, encoder))
        return rooms[-1]

    yield open_one
    for room in rooms:
        if room._thread.is_alive():
            room.close()


def edit(seq: int, **event) -> dict:
    return {"type": "edit", "event": {**event, "seq": seq}}


def click(seq: int, row: int, column: int, label: int = 1, image: str = "1.png") -> dict:
    return edit(seq, edit="click", image=image, row=row, column=column, label=label)


def test_edits_that_wait_are_made_together_and_answered_once(open_room, images, base):
    room, heard, gate = open_room(open_folder(images)), Listener(), threading.Event()
    room.connect(heard)
    room.receive({"type": "view", "image": "1.png", "heat": False})
    room.receive(click(1, 30, 30))
    wait_until(lambda: heard.masks() and heard.masks()[-1][0]["seq"] == 1)
    before = len(heard.masks())
    room.post(gate.wait)
    for seq in range(2, 12):
        room.receive(click(seq, 5 + seq, 70, 0))
    gate.set()
    wait_until(lambda: heard.masks()[-1][0]["seq"] == 11)
    room.close()
    assert len(heard.masks()) == before + 1
    session = base.fresh()
    session.add("a", picture())
    session.click("a", 30, 30, 1)
    for seq in range(2, 12):
        session.click("a", 5 + seq, 70, 0)
    np.testing.assert_array_equal(heard.masks()[-1][1], session.mask("a"))


def test_an_edit_is_made_once_and_a_refused_one_is_told(open_room, images):
    room, heard = open_room(open_folder(images)), Listener()
    room.connect(heard)
    for message in (click(1, 30, 30), click(1, 40, 40), click(2, 99, 0), click(3, 31, 31), click(2, 32, 32)):
        room.receive(message)
    assert room.call(lambda workspace: workspace.counts()) == {"1.png": 2}
    (refused,) = heard.of("refused")
    assert refused["seq"] == 2 and "lies outside the image '1.png'" in refused["message"] and room.seq == 3


def test_a_click_is_retracted_only_while_it_is_the_last_edit(open_room, images):
    room = open_room(open_folder(images))
    counts = lambda: room.call(lambda workspace: workspace.counts())  # noqa: E731
    room.receive(click(1, 30, 30))
    room.receive(edit(2, edit="retract", of=1))
    assert counts() == {}
    room.receive(click(3, 30, 30))
    room.receive(click(4, 99, 0))  # refused
    room.receive(edit(5, edit="retract", of=4))
    assert counts() == {"1.png": 1}


def test_all_comes_back_from_the_folder(open_room, images):
    room = open_room(open_folder(images))
    room.receive(click(7, 30, 30))
    room.receive(edit(8, edit="add_object", name="dog"))
    room.receive(edit(9, edit="undo"))
    told = room.call(lambda workspace: (workspace.annotations(), workspace.objects(), workspace.can_redo()))
    room.close()
    again = open_room(open_folder(images))
    assert again.seq == 9
    assert again.call(lambda workspace: (workspace.annotations(), workspace.objects(), workspace.can_redo())) == told


def test_half_a_line_is_dropped_and_a_second_server_waits_outside(open_room, images, tmp_path):
    room = open_room(open_folder(images))
    room.receive(click(1, 30, 30))
    room.call(lambda workspace: None)
    with pytest.raises(BlockingIOError):
        open_room(open_folder(images))
    room.close()
    with open(tmp_path / "room" / "journal.jsonl", "ab") as file:
        file.write(b'{"edit": "click", "ima')
    again = open_room(open_folder(images))
    assert again.seq == 1 and again.call(lambda workspace: workspace.counts()) == {"1.png": 1}
    again.receive(click(2, 31, 31))
    again.close()
    assert open_room(open_folder(images)).seq == 2


def test_a_journal_of_something_else_is_refused(open_room, images, tmp_path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "journal.jsonl").write_text('{"format": "diary"}\n')
    with pytest.raises(ValueError, match=r"journal\.jsonl: is no journal of version 1 \(line 1\)$"):
        open_room(open_folder(images))


def test_an_image_that_is_gone_leaves_the_rest_as_it_was(open_room, images):
    room = open_room(open_folder(images))
    room.receive(click(1, 30, 30))
    room.receive(click(2, 30, 30, image="2.png"))
    room.close()
    (images / "2.png").unlink()
    assert open_room(open_folder(images)).call(lambda workspace: workspace.counts()) == {"1.png": 1}


def test_clicks_are_answered_while_a_run_waits_for_an_image_and_it_can_be_cancelled(open_room):
    gate = threading.Event()

    def slow():
        gate.wait(20)
        return picture(1)

    room, heard = (
        open_room(Gallery("g", (Picture("a", picture), Picture("b", slow), Picture("c", picture)))),
        Listener(),
    )
    room.connect(heard)
    room.receive({"type": "view", "image": "a", "heat": False})
    room.receive(click(1, 30, 30, image="a"))
    wait_until(lambda: heard.masks() and heard.masks()[-1][1].any())
    room.receive({"type": "job", "kind": "all"})
    wait_until(lambda: any(each["done"] == 1 for each in heard.of("progress")))
    room.receive(click(2, 5, 5, 0, image="a"))
    wait_until(lambda: heard.masks()[-1][0]["seq"] == 2)
    room.receive({"type": "cancel"})
    gate.set()
    wait_until(lambda: heard.of("progress")[-1]["state"] == "cancelled")
    assert heard.of("progress")[-1]["done"] < 3 and heard.masks()[-1][1].shape == SIZE
