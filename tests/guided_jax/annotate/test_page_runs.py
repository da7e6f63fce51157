"""The page in a browser: runs over all images and along the clip, files out and in, sessions that outlive all."""

import io
import json
import zipfile

import av
import numpy as np
import pytest
from PIL import Image

from tests.guided_jax.annotate.serving import NAMES, SIZE, Serving, wait_until


@pytest.fixture
def marked(open_tab):
    """A tab with an object and background marked on the first image."""
    tab = open_tab()
    tab.click(30, 30)
    tab.click(5, 5, "right")
    return tab


def run(tab, button: str) -> None:
    tab.page.click(button)
    wait_until(lambda: len(tab.state()["server"]["results"]) == 2 and not tab.state()["server"]["running"])


def download(tab, kind: str) -> bytes:
    tab.page.click("[data-action=export]")
    with tab.page.expect_download() as found:
        tab.page.click(f"[data-kind={kind}]")
    with open(found.value.path(), "rb") as file:
        return file.read()


def test_all_images_are_segmented_and_masks_exported(marked):
    mask = marked.mask()
    run(marked, "#apply-all")
    assert "Applied to 3 images" in marked.toast()
    shown = {"1.png": mask, **{name: marked.show(name) for name in NAMES[1:]}}
    with zipfile.ZipFile(io.BytesIO(download(marked, "masks"))) as archive:
        assert archive.namelist() == ["masks/1.png", "masks/2.png", "masks/10.png", "masks/classes.txt"]
        assert archive.read("masks/classes.txt") == b"1 Object 1\n"
        for name in NAMES:
            with Image.open(archive.open(f"masks/{name}")) as image:
                assert image.mode == "P"
                np.testing.assert_array_equal(np.array(image), shown[name])


def test_along_the_clip_results_stay_when_marks_are_made_later(marked):
    run(marked, "#along")
    mask = marked.show("10.png")
    assert mask[17:47, 20:50].mean() > 0.8 and not marked.page.is_visible("#stage-note")
    assert marked.page.locator(".thumb[data-result]").count() == 2
    marked.show("1.png")
    marked.click(20, 66)
    np.testing.assert_array_equal(marked.show("10.png"), mask)
    assert "run it again" in marked.page.inner_text("#stage-note")
    with av.open(io.BytesIO(download(marked, "video"))) as video:
        frames = list(video.decode(video=0))
    assert len(frames) == 3 and (frames[0].height, frames[0].width) == SIZE


def test_a_file_of_coco_comes_back_as_masks_in_a_new_session(marked, tmp_path):
    mask = marked.mask()
    values = json.loads(download(marked, "coco"))
    assert [each["file_name"] for each in values["images"]] == ["1.png"]
    file = tmp_path / "coco.json"
    file.write_text(json.dumps(values))
    first = marked.state()["session"]
    marked.page.click('[data-action="new-session"]')
    wait_until(lambda: marked.state()["session"] not in ("", first))
    assert not marked.settle().any()
    marked.page.set_input_files("#import-input", file)
    assert "Imported annotations of 1 images" in marked.toast()
    assert (marked.settle() == mask).mean() > 0.8
    assert marked.state()["server"]["counts"] == {"1.png": 1}


def test_a_mask_is_imported_and_a_wrong_one_refused(marked, tmp_path):
    labels = np.zeros(SIZE, np.uint8)
    labels[15:45, 20:50] = 255
    Image.fromarray(labels).save(tmp_path / "mask.png")
    marked.page.set_input_files("#import-input", tmp_path / "mask.png")
    assert "Imported a mask for 1.png" in marked.toast()
    assert marked.state()["server"]["counts"]["1.png"] == 3
    Image.fromarray(labels[:9]).save(tmp_path / "small.png")
    marked.page.set_input_files("#import-input", tmp_path / "small.png")
    assert wait_until(lambda: "is 9x80 pixels" in marked.toast())


def test_uploads_are_images_and_nothing_else(open_tab, tmp_path):
    tab = open_tab()
    (tmp_path / "bad.png").write_bytes(b"no image at all")
    tab.page.set_input_files("#upload-input", tmp_path / "bad.png")
    assert "bad.png: is not an image that can be read" in tab.toast()
    Image.fromarray(np.full((30, 40, 3), 120, np.uint8)).save(tmp_path / "<i>new.png")
    tab.page.set_input_files("#upload-input", tmp_path / "<i>new.png")
    wait_until(lambda: tab.state()["image"] == "<i>new.png")
    assert tab.settle().shape == (30, 40) and tab.page.locator(".thumb").count() == 4
    tab.page.reload()
    tab.wait_ready()
    assert tab.state()["image"] == "<i>new.png" and tab.page.locator("i").count() == 0


def test_a_reload_loses_nothing(marked):
    mask = marked.mask()
    marked.page.reload()
    marked.wait_ready()
    np.testing.assert_array_equal(marked.settle(), mask)
    assert marked.press("z").any() and not marked.press("z").any()
    np.testing.assert_array_equal((marked.press("Shift+Z"), marked.press("Shift+Z"))[1], mask)


def test_a_server_that_ends_and_comes_again_loses_nothing(marked, serving, images, tmp_path, base):
    serving.end()
    wait_until(lambda: "Connecting again" in marked.page.inner_text("#connection"))
    marked.page.mouse.click(*marked.at(50, 70), button="right")  # while nobody is there
    again = Serving(images, tmp_path / "work", base, port=serving.port)
    try:
        marked.settle()
        wait_until(lambda: marked.page.inner_text("#connection") == "")
        points = [(mark["point"], mark["label"]) for mark in marked.state()["server"]["marks"]]
        assert points == [([30, 30], 1), ([5, 5], 0), ([50, 70], 0)]
    finally:
        marked.page.context.close()
        again.end()


def test_two_tabs_are_two_sessions_and_a_closed_one_is_found_again(marked, open_tab):
    other = open_tab(beside=marked)
    assert other.state()["session"] != marked.state()["session"] and not other.mask().any()
    other.click(20, 66)
    assert len(marked.state()["server"]["marks"]) == 2
    mask, session = marked.mask(), marked.state()["session"]
    marked.page.close()
    third = open_tab(beside=other)
    assert third.state()["session"] == session
    np.testing.assert_array_equal(third.settle(), mask)
