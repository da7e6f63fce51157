"""A clip is opened from a folder, arrays or a generator; frames are read when needed, and mistakes told in one line."""

import re
import tracemalloc
import weakref
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from guided_jax.clips import Clip, open_clip
from guided_jax.clips.clip import number_names
from guided_jax.clips.folder import _natural_key

SIZE = (7, 5)
FRAMES = np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3), np.uint8)


def write(folder, *names, size=SIZE):
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(FRAMES[number][: size[0], : size[1]]).save(folder / name)
    return folder


def same(clip, wanted=FRAMES):
    assert len(clip) == len(wanted) and clip.size == wanted[0].shape[:2]
    for found, frame in zip(clip, wanted, strict=True):
        np.testing.assert_array_equal(found, frame)
        assert found.dtype == np.uint8


class TestFolders:
    def test_frames_are_in_the_order_of_their_names(self, tmp_path):
        folder = write(tmp_path / "walk", "f2.png", "f10.PNG", "f1.bmp")
        (folder / "notes.txt").write_text("no frame")
        (folder / "._f3.png").write_bytes(b"what a Mac leaves")
        write(folder / "inside", "f0.png")
        clip = open_clip(folder)
        assert clip.names == ("f1", "f2", "f10") and clip.rate is None
        same(clip, FRAMES[[2, 0, 1]])
        same(open_clip(str(folder)), FRAMES[[2, 0, 1]])
        assert open_clip(clip) is clip

    @given(st.lists(st.text(alphabet="a0129²x", min_size=1), min_size=1))
    def test_any_names_have_an_order(self, names):
        keys = [_natural_key(name) for name in sorted(names, key=_natural_key)]
        assert all(one <= other for one, other in pairwise(keys))

    def test_only_the_first_is_read_at_first(self, tmp_path):
        folder = write(tmp_path / "walk", "0.png", "1.png", "2.png")
        (folder / "1.png").write_bytes((folder / "0.png").read_bytes()[:60])
        Image.fromarray(FRAMES[0][:3]).save(folder / "2.png")
        clip = open_clip(folder, title="my walk")
        np.testing.assert_array_equal(clip[0], FRAMES[0])
        with pytest.raises(ValueError, match=r"walk/1.png is not an image that can be read \(.+\); replace or remove"):
            clip[1]
        with pytest.raises(
            ValueError, match=r"^my walk: frame 2 \(2\) has 3x5 pixels .* the first one 7x5: a clip has"
        ):
            clip[2]
        (folder / "1.png").unlink()
        with pytest.raises(ValueError, match=r"1.png is not an image that can be read \(No such file or directory\)"):
            clip[1]

    def test_images_are_as_viewers_show_them(self, tmp_path):
        (folder := tmp_path / "walk").mkdir()
        exif = Image.Exif()
        exif[0x0112] = 6  # turned by a quarter to the right
        rgb = Image.fromarray(FRAMES[0].transpose(1, 0, 2))
        rgb.save(folder / "0.png", exif=exif)
        Image.fromarray(np.dstack([FRAMES[1], FRAMES[1][..., 0]])).save(folder / "1.png")
        Image.fromarray(FRAMES[2][..., 0]).save(folder / "2.png")
        Image.fromarray(FRAMES[3][..., 0].astype(np.uint16) * 256 + 3).save(folder / "3.png")
        grey = [np.repeat(frame[..., :1], 3, 2) for frame in FRAMES[2:]]
        same(open_clip(folder), [np.rot90(FRAMES[0].transpose(1, 0, 2), -1), FRAMES[1], *grey])

    def test_mistakes(self, tmp_path):
        for wanted, given_ in {
            "nowhere: there is no such folder of frames or video file": tmp_path / "nowhere",
            "empty: holds no image that ends in .jpg, .jpeg, .png, .bmp, .webp": write(tmp_path / "empty"),
            "two: 1.bmp and 1.png have the same name; remove one": write(tmp_path / "two", "1.png", "1.bmp"),
        }.items():
            with pytest.raises(ValueError, match=re.escape(wanted)) as error:
                open_clip(given_)
            assert "\n" not in str(error.value)


class TestArrays:
    def test_a_stack_and_a_list_are_not_copied(self, tmp_path):
        for given_ in (FRAMES, list(FRAMES), tuple(FRAMES)):
            clip = open_clip(given_)
            same(clip)
            assert np.shares_memory(clip[1], given_[1]) and clip.names == ("00000", "00001", "00002", "00003")
        on_disk = np.lib.format.open_memmap(tmp_path / "frames.npy", "w+", np.uint8, FRAMES.shape)
        on_disk[:] = FRAMES
        same(open_clip(on_disk))

    def test_numbers_count_from_0_to_the_last(self):
        clip = open_clip(FRAMES)
        np.testing.assert_array_equal(clip[np.int64(3)], FRAMES[3])
        for number in (4, -1):
            with pytest.raises(IndexError, match=f"the clip: there is no frame {number}; they are 0 to 3"):
                clip[number]
        with pytest.raises(ValueError, match="the clip: the number of a frame is True; it must be a whole number"):
            clip[True]

    @pytest.mark.parametrize(
        ("frames", "message"),
        [
            (
                FRAMES[0],
                r"the clip: the array of frames is uint8 \(7, 5, 3\); it must be uint8 \[frames, height, width, ",
            ),
            (FRAMES / 255, r"the clip: the array of frames is float64 .* np.round\(255 \* image\)"),
            (FRAMES[:0], r"the clip: the array of frames is uint8 \(0, 7, 5, 3\); it must be"),
            ([], "the clip: there are no frames; it needs one at least"),
            (
                [FRAMES[0], FRAMES[1][1:]],
                r"the clip: frame 1 \(00001\) has 6x5 pixels .* the first one 7x5: a clip has one",
            ),
            ([FRAMES[0], None], r"the clip: frame 1 \(00001\) is None; it must be uint8 .*cv2.imread gives None where"),
            (iter(()), "the clip: there are no frames; it needs one at least"),
            (
                iter([FRAMES[0], FRAMES[1][1:]]),
                "the clip: frame 1 has 6x5 pixels, the first one 7x5: a clip has one size",
            ),
            (iter(["a"]), "the clip: frame 0 is 'a'; it must be uint8"),
            (7, "the frames of a clip are 7; they must be a folder, a video file, RGB images, or a generator of them"),
        ],
    )
    def test_mistakes(self, frames, message):
        with pytest.raises(ValueError, match=message):
            open_clip(frames)


class TestGenerators:
    def test_frames_are_kept_without_loss_in_a_folder_that_goes_with_the_clip(self, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        clip = open_clip(frame.copy() for frame in FRAMES)
        same(clip)
        same(clip)
        (folder,) = tmp_path.iterdir()
        assert len(list(folder.iterdir())) == 4
        gone = weakref.ref(clip)
        del clip
        assert gone() is None and not list(tmp_path.iterdir())

    def test_nothing_is_left_of_one_that_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with pytest.raises(ValueError, match="frame 2 is None"):
            open_clip(iter([FRAMES[0], FRAMES[1], None]))
        assert not list(tmp_path.iterdir())

    def test_one_frame_is_held_at_a_time(self):
        side, count = 100, 20

        def frames():
            for number in range(count):
                yield np.full((side, side, 3), number, np.uint8)

        tracemalloc.start()
        clip = open_clip(frames())
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 10 * side * side * 3
        assert [int(frame.max()) for frame in clip] == list(range(count))


def test_names_of_many_frames_sort_as_the_frames_do():
    assert number_names(3) == ("00000", "00001", "00002")
    assert sorted(number_names(100_001)) == list(number_names(100_001))


def test_a_frame_is_read_when_it_is_asked_for_and_checked():
    asked = []

    def read(number):
        asked.append(number)
        return FRAMES[number].astype(np.float32)

    clip = Clip("cam", ("a", "b"), SIZE, 25.0, read)
    assert len(clip) == 2 and not asked
    with pytest.raises(ValueError, match=r"cam: frame 1 \(b\) is float32 \(7, 5, 3\); it must be uint8"):
        clip[1]
    assert asked == [1]
