"""The page in a browser: what a person does with a mouse and a keyboard, and what is drawn then."""

import numpy as np

from guided_jax.session import Session
from tests.guided_jax.annotate.serving import BLUE, BOX, GREY, RED, picture


def expected(base: Session, *edits) -> np.ndarray:
    """The mask of the first picture in a session of Python's own."""
    session = base.fresh()
    session.add("a", picture())
    for edit, *values in edits:
        getattr(session, edit)(*values)
    return session.mask("a")


def near(colour: list[int], other: tuple[int, int, int]) -> bool:
    """Whether two colours are the same but for what JPEG does to them."""
    return np.abs(np.subtract(colour, other)).max() <= 8


def test_a_click_shows_the_mask_that_a_session_gives(open_tab, base):
    tab = open_tab()
    assert not tab.mask().any()
    assert near(tab.pixel(20, 25), RED)
    tab.click(30, 30)
    mask = tab.click(5, 5, "right")
    np.testing.assert_array_equal(mask, expected(base, ("click", "a", 30, 30, 1), ("click", "a", 5, 5, 0)))
    assert mask[BOX].mean() > 0.8 and mask[50:].mean() < 0.2
    assert not near(tab.pixel(20, 25), RED) and near(tab.pixel(55, 70), GREY)
    assert float(tab.page.inner_text("#timing").removesuffix(" ms")) >= 0


def test_undo_and_redo(open_tab):
    tab = open_tab()
    one = tab.click(30, 30)
    two = tab.click(5, 5, "right")
    assert (one != two).any()
    np.testing.assert_array_equal(tab.press("z"), one)
    assert not tab.press("Control+z").any()
    np.testing.assert_array_equal(tab.press("Shift+Z"), one)
    np.testing.assert_array_equal(tab.press("Control+Shift+Z"), two)
    assert not tab.page.is_enabled("#redo") and tab.page.is_enabled("#undo")


def test_a_drag_is_a_scribble_alone_and_shift_erases(open_tab):
    tab = open_tab()
    tab.drag((30, 24), (30, 44))
    (mark,) = tab.state()["server"]["marks"]
    assert mark["label"] == 1 and mark["scribble"][0] == [30, 24] and mark["scribble"][-1] == [30, 44]
    assert tab.press("z") is not None and tab.state()["server"]["marks"] == []
    tab.click(20, 25)
    tab.page.keyboard.down("Shift")
    tab.drag((18, 23), (22, 27))
    tab.page.keyboard.up("Shift")
    assert tab.state()["server"]["marks"] == []


def test_a_click_is_moved_and_removed(open_tab):
    tab = open_tab()
    tab.click(30, 30)
    tab.drag((30, 30), (32, 36))
    assert tab.state()["server"]["marks"] == [{"point": [32, 36], "label": 1}]
    tab.page.keyboard.down("Alt")
    tab.click(32, 36)
    tab.page.keyboard.up("Alt")
    assert tab.state()["server"]["marks"] == []


def test_objects_have_names_colours_and_can_be_hidden_locked_and_deleted(open_tab):
    tab = open_tab()
    tab.click(30, 30)
    tab.click(5, 5, "right")
    tab.press("n")
    mask = tab.click(15, 66)
    assert {*np.unique(mask)} == {0, 1, 2} and mask[15, 66] == 2
    second = tab.page.locator('.object[data-label="2"]')
    second.locator(".choose").click()
    field = second.locator('input[type="text"]')
    field.fill("<b>bird</b>")
    field.press("Enter")
    tab.settle()
    assert second.locator(".choose").inner_text() == "<b>bird</b>" and tab.page.locator("b").count() == 0
    shown = tab.pixel(20, 70)
    tab.press("h")
    assert near(tab.pixel(20, 70), BLUE) and not near(shown, BLUE)
    tab.press("h")
    tab.press("l")
    tab.page.mouse.click(*tab.at(8, 60))
    assert "is locked" in tab.toast()
    tab.press("l")
    mask = tab.press("Delete")
    assert 2 not in mask and tab.page.locator(".object").count() == 1
    np.testing.assert_array_equal(np.unique(tab.press("z")), [0, 1, 2])
    assert second.locator(".choose").inner_text() == "<b>bird</b>"


def test_clicks_on_one_image_segment_the_others_and_the_strip_tells(open_tab):
    tab = open_tab()
    tab.click(30, 30)
    tab.click(5, 5, "right")
    mask = tab.show("10.png")
    assert mask[17:47, 20:50].mean() > 0.8
    assert [each.get_attribute("data-name") for each in tab.page.locator(".thumb").all()] == [
        "1.png",
        "2.png",
        "10.png",
    ]
    assert tab.page.locator(".thumb[data-marks]").get_attribute("aria-label") == "1.png, 2 marks"
    assert tab.page.locator('.thumb[aria-selected="true"]').get_attribute("data-name") == "10.png"
    tab.press("z")
    assert tab.state()["image"] == "1.png", "an undo shows the image that it changes"
