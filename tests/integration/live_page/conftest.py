"""Fixtures: one stack and one Chromium a file, a tab a test; every tab must end without a complaint of the browser.

Not one for all files: while Playwright runs, no other test of the same process can have an event loop.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.live_page import stack as live


def _load(name: str, file: str) -> Any:
    """Import a helper beside this file under importlib mode, once."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


harness: Any = _load("live_page_harness", "harness.py")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program = live.chromium_program()
    if program is None:
        pytest.skip("no chromium on PATH: `atheria-local prerequisites --install` installs it")
    pytest.importorskip("playwright", reason="playwright is not installed: `make setup` installs it")
    with live.chromium(program) as browser:
        yield browser


@pytest.fixture(scope="module")
def stack() -> Iterator[Any]:
    with live.Stack(harness.MODEL) as found:
        yield found


@pytest.fixture
def new_page(chromium: Any, stack: Any) -> Iterator[Callable[..., Any]]:
    """Makes tabs, each in a browser context of its own; options are those of `new_context`."""
    pages = []

    def make(**options: Any) -> Any:
        tab = chromium.new_context(**{"viewport": {"width": 1280, "height": 1000}, **options}).new_page()
        page = harness.Page(tab, stack.url)
        pages.append(page)
        return page

    yield make
    for page in pages:
        page.tab.context.close()
    assert [complaint for page in pages for complaint in page.complaints] == []


@pytest.fixture
def page(new_page: Callable[..., Any]) -> Any:
    """A tab that runs from the start."""
    return new_page()


@pytest.fixture
def still_page(new_page: Callable[..., Any]) -> Any:
    """A tab of a person who wants no motion: it stands still at frame 1 until asked."""
    return new_page(reduced_motion="reduce")
