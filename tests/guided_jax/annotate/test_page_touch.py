"""The page on a phone: 390 pixels wide, with fingers."""

import pytest

from tests.guided_jax.annotate.serving import wait_until

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
LEAST = 44
"""Pixels of a side of what a finger has to hit."""


@pytest.fixture
def phone(open_tab):
    return open_tab(**PHONE)


def touch(tab, kind: str, *points) -> None:
    """Fingers at positions in the window."""
    session = getattr(tab, "devtools", None) or tab.page.context.new_cdp_session(tab.page)
    tab.devtools = session
    touched = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})


def test_a_tap_marks_and_the_modes_take_the_place_of_buttons(phone):
    phone.page.touchscreen.tap(*phone.at(30, 30))
    assert phone.settle()[15:45, 20:50].mean() > 0.8
    phone.page.tap('[data-mode="background"]')
    phone.page.touchscreen.tap(*phone.at(5, 5))
    phone.settle()
    assert [mark["label"] for mark in phone.state()["server"]["marks"]] == [1, 0]
    phone.page.tap('[data-mode="erase"]')
    phone.page.touchscreen.tap(*phone.at(5, 5))
    phone.settle()
    assert [mark["label"] for mark in phone.state()["server"]["marks"]] == [1]


def test_one_finger_scribbles_and_two_pinch(phone):
    start, end = phone.at(30, 25), phone.at(30, 40)
    touch(phone, "touchStart", start)
    touch(phone, "touchMove", [(start[0] + end[0]) / 2, start[1]])
    touch(phone, "touchMove", end)
    touch(phone, "touchEnd")
    phone.settle()
    (mark,) = phone.state()["server"]["marks"]
    assert mark["scribble"][0] == [30, 25] and mark["scribble"][-1] == [30, 40]

    def scale():
        return phone.page.evaluate("async () => (await import('/scripts/viewport.js')).viewport.scale")

    before, (x, y) = scale(), phone.at(30, 40)
    touch(phone, "touchStart", [x, y])
    touch(phone, "touchStart", [x, y], [x + 40, y])
    touch(phone, "touchMove", [x - 40, y], [x + 80, y])
    touch(phone, "touchEnd")
    wait_until(lambda: scale() > 2 * before)
    assert len(phone.state()["server"]["marks"]) == 1


def test_nothing_overflows_and_fingers_hit_what_they_aim_at(phone):
    phone.page.tap("#menu")
    wide = phone.page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= 390
    for button in phone.page.locator("button:visible, input[type=color]:visible").all():
        box = button.bounding_box()
        named = button.get_attribute("aria-label") or button.inner_text() or button.get_attribute("title")
        assert named, "every button has a name"
        assert box["height"] >= LEAST and box["width"] >= LEAST, (named, box)
