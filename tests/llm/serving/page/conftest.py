"""A browser for the chat page: the machine's own Chromium."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from tests.browser import chromium
from tests.llm.serving.page.scripted_api import Script, served
from tests.llm.serving.page.steps import Open


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens the page on a server that plays a script, in a browser of its own; what the page logs
    as an error, and what it throws, fails the test."""
    with ExitStack() as stack:
        faults = list[str]()

        def note(line: ConsoleMessage, expected: Sequence[str]) -> None:
            # The browser itself logs each response that is not 2xx; those are in the script.
            known = ("Failed to load resource", *expected)
            if line.type == "error" and not any(part in line.text for part in known):
                faults.append(line.text)

        def opened(
            script: Script,
            width: int = 1400,
            height: int = 900,
            expects: Sequence[str] = (),
            **options: Any,
        ) -> Page:
            viewport = {"width": width, "height": height}
            context = browser.new_context(viewport=viewport, **options)  # type: ignore[arg-type]
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(10_000)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", lambda line: note(line, expects))
            page.goto(stack.enter_context(served(script)))
            return page

        yield opened
    assert not faults
