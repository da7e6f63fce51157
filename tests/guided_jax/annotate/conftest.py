"""A small model's session, a server, and Debian's Chromium, driven by Playwright; tests of the page skip without it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from guided_jax.session import Session
from tests.guided_jax.annotate.serving import Serving, write_pictures
from tests.guided_jax.annotate.tab import Tab
from tests.guided_jax.small_models import small_model
from tests.guided_jax.variants import VARIANTS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REQUIRED = "GUIDED_JAX_BROWSER"
"""Set where a browser has to be there (`.ci/run`): tests of the page then fail without one."""


@pytest.fixture(scope="session")
def base() -> Session:
    """A session that others share their programs with."""
    return Session(*small_model(**VARIANTS["prototypes"]))


@pytest.fixture
def images(tmp_path) -> Path:
    return write_pictures(tmp_path / "images")


@pytest.fixture
def serving(images, tmp_path, base) -> Iterator[Serving]:
    server = Serving(images, tmp_path / "work", base)
    yield server
    server.end()


@pytest.fixture(scope="session")
def chromium():
    if CHROMIUM is None:
        told = "the page: install Debian's chromium (apt-get install chromium)"
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(told)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_tab(chromium, serving) -> Iterator:
    """Opens tabs, each in a browser of its own unless one is given to share; none may have had an error."""
    opened = []

    def open_one(beside: Tab | None = None, **options) -> Tab:
        options = {"viewport": {"width": 1280, "height": 800}, **options}
        context = beside.page.context if beside else chromium.new_context(**options)
        opened.append(Tab(context.new_page()))
        opened[-1].open(serving.address)
        return opened[-1]

    yield open_one
    for tab in opened:
        tab.page.context.close()
    assert [error for tab in opened for error in tab.errors] == []
