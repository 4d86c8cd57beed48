"""What a person does on the chat page, and where to look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from playwright.sync_api import Locator, Page, expect

from tests.llm.serving.page.scripted_api import Script


class Open(Protocol):
    """Opens the page in a browser of its own.

    Args:
        expects: parts of errors the browser may log; any other one fails the test.
        options: of Playwright's contexts.
    """

    def __call__(
        self,
        script: Script,
        width: int = ...,
        height: int = ...,
        expects: Sequence[str] = ...,
        **options: object,
    ) -> Page: ...


def say(page: Page, text: str) -> None:
    """Type a message and send it, once the page knows of the models."""
    page.locator("#models input").first.wait_for()
    page.fill("#message", text)
    page.press("#message", "Enter")


def choose(page: Page, *models: str) -> None:
    """These answer, and no others."""
    page.locator("#models input").first.wait_for()
    for box in page.locator("#models input").all():
        if box.is_checked() and box.get_attribute("value") not in models:
            box.uncheck()
    for model in models:
        page.get_by_label(model, exact=True).check()


def answer_of(page: Page, model: str, turn: int = -1) -> Locator:
    """What a model said in a turn; the last one if none is named."""
    return page.locator(".turn").nth(turn).get_by_label(f"Answer of {model}", exact=True)


def wait_until_finished(page: Page) -> None:
    """No answer is coming in any more."""
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
