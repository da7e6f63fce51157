"""A video file gives each of its frames exactly, in any order; against decoding it from the first frame to the last."""

import struct
from functools import cache

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guided_jax.clips import open_clip, video_file

SIZE, FRAMES = (32, 48), 24
KINDS = {
    "between.mp4": ("mpeg4", {"g": "12", "bf": "2"}),  # frames are stored in another order than they are shown in
    "between.mkv": ("mpeg4", {"g": "12", "bf": "2"}),
    "between.avi": ("mpeg4", {"g": "12", "bf": "2"}),  # which tells no order
    "alone.avi": ("mjpeg", {}),
    "stream.ts": ("mpeg2video", {"g": "9", "bf": "2"}),
    "stream.mpg": ("mpeg2video", {"g": "9", "bf": "2"}),
    "one_key.mp4": ("mpeg4", {"g": "600"}),
}


def write(path, codec, options, size=SIZE, frames=FRAMES):
    rng = np.random.default_rng(0)
    still = cv2.resize(rng.integers(0, 256, (8, 12, 3), np.uint8), size[::-1])
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(frames):
            image = np.roll(still // 2, 3 * number, 1) + np.uint8(3 * number)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def video(folder):
    """Path and frames of a kind; frames as they are decoded one after the other."""

    @cache
    def make(kind):
        path = write(folder / kind, *KINDS[kind])
        with av.open(str(path)) as container:
            return path, [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_forward_backward_and_across(kind, video, monkeypatch):
    path, frames = video(kind)
    assert len(frames) == FRAMES and len({frame.tobytes() for frame in frames}) == FRAMES
    across = np.random.default_rng(1).integers(0, FRAMES, 12).tolist()
    orders = range(FRAMES), range(FRAMES)[::-1], [FRAMES - 1, 0, FRAMES - 1, *across]
    for order, kept in zip(orders, (0, 7 * frames[0].nbytes // 2, 0), strict=True):
        monkeypatch.setattr(video_file, "KEPT", kept)
        clip = open_clip(path)
        assert len(clip) == FRAMES and clip.size == SIZE and clip.rate == 25 and clip.names[-1] == "00023"
        for number in order:
            assert np.array_equal(clip[number], frames[number]), f"frame {number}"


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, FRAMES - 1), min_size=1, max_size=12))
def test_any_order(video, order):
    path, frames = video("between.mp4")
    clip = open_clip(path)
    for number in order:
        np.testing.assert_array_equal(clip[number], frames[number])


def test_going_backward_costs_little_more_than_forward(video, monkeypatch):
    """A video of one key frame, of which some frames are kept: it is decoded as often as these fill it."""
    path, frames = video("one_key.mp4")
    monkeypatch.setattr(video_file, "KEPT", 10 * frames[0].nbytes)
    clip, decoded = open_clip(path), []
    keep = video_file._Video._keep
    monkeypatch.setattr(video_file._Video, "_keep", lambda self, at, frame: (decoded.append(at), keep(self, at, frame)))
    for number in reversed(range(FRAMES)):
        clip[number]
    assert FRAMES <= len(decoded) <= 4 * FRAMES


def test_few_frames_are_held(video, monkeypatch):
    path, frames = video("between.mp4")
    monkeypatch.setattr(video_file, "KEPT", 5 * frames[0].nbytes // 2)
    clip = open_clip(path)
    for _ in clip:
        assert 1 <= len(clip.read.__self__._kept) <= 5


@pytest.mark.parametrize(("turned", "quarters"), [((0, 1, -1, 0), -1), ((0, -1, 1, 0), 1), ((-1, 0, 0, -1), 2)])
def test_a_video_that_was_held_upright_is_upright(turned, quarters, video, tmp_path):
    """Phones store how the camera was held in the header of the track, as a matrix."""
    path, frames = video("one_key.mp4")
    matrix = lambda a, b, c, d: struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)  # noqa: E731
    whole = path.read_bytes()
    at = whole.index(matrix(1, 0, 0, 1), whole.index(b"tkhd"))
    held = tmp_path / "held.mp4"
    held.write_bytes(whole[:at] + matrix(*turned) + whole[at + 36 :])
    clip = open_clip(held)
    assert clip.size == (SIZE if quarters == 2 else SIZE[::-1])
    np.testing.assert_array_equal(clip[3], np.rot90(frames[3], quarters))


def test_mistakes(video, tmp_path):
    path, frames = video("alone.avi")
    text, empty = tmp_path / "notes.mp4", tmp_path / "empty.mp4"
    text.write_text("this is no video")
    empty.write_bytes(b"")
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    for file, message in (
        (text, r"notes.mp4: is not a video that can be decoded \(.+\)$"),
        (empty, r"empty.mp4: is not a video that can be decoded \(.+\)$"),
        (sound, "sound.wav: holds no video, sound or subtitles alone$"),
        (write(tmp_path / "none.avi", "mjpeg", {}, frames=0), "none.avi: "),
    ):
        with pytest.raises(ValueError, match=message) as error:
            open_clip(file)
        assert "\n" not in str(error.value)
    whole = bytearray(path.read_bytes())
    starts = [at for at in range(len(whole)) if whole[at : at + 4] == b"00dc"]
    whole[starts[8] + 8 : starts[9]] = bytes(starts[9] - starts[8] - 8)  # of frame 7 nothing is left
    (broken := tmp_path / "broken.avi").write_bytes(whole)
    clip = open_clip(broken)
    with pytest.raises(ValueError, match=r"broken.avi: frame 7 cannot be decoded \(.+\)$"):
        clip[7]
    np.testing.assert_array_equal(clip[8], frames[8])
