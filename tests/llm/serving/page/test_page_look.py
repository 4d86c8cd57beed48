"""The chat page on a phone, in the dark, without a mouse, and for those who do not see it."""

from __future__ import annotations

import math
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.llm.serving.page.contrast import LOW_CONTRAST
from tests.llm.serving.page.scripted_api import Answer, Refusal, Script, Token, words
from tests.llm.serving.page.steps import Open, answer_of, choose, say, wait_until_finished


def busy_script() -> Script:
    """Answers of every kind, with tokens of every colour."""
    tokens = [
        Token(f"{word} ", math.log(chance), ((" other", -3.0), ("third", -4.0)))
        for word, chance in [
            ("sure", 0.95),
            ("likely", 0.7),
            ("half", 0.4),
            ("few", 0.2),
            ("odd", 0.01),
        ]
    ]
    long = words("averyveryverylongword" * 12 + " and `code` " + "https://example.org/" + "x" * 200)
    return Script(
        {
            "base": [Answer(tokens * 4, finish="length")],
            "sft": [Refusal(429, "many are waiting"), Answer(words("Well."))],
            "dpo": [Answer(long)],
        }
    )


def fill(page: Page) -> None:
    choose(page, "base", "sft", "dpo")
    say(page, "What do you know of " + "y" * 300)
    wait_until_finished(page)
    answer_of(page, "base").get_by_role("button", name="Tokens").click()
    page.get_by_role("option").nth(4).click()
    page.fill("#control-top_p", "7")
    page.fill("#message", "Next")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(open_page: Open, scheme: Literal["light", "dark"]) -> None:
    page = open_page(busy_script(), color_scheme=scheme, reduced_motion="reduce")
    before = page.evaluate(LOW_CONTRAST)
    assert before["low"] == []
    fill(page)
    found = page.evaluate(LOW_CONTRAST)
    assert found["looked"] > 90
    assert found["low"] == []


def test_the_dialog_has_contrast_in_the_dark(open_page: Open) -> None:
    script = busy_script()
    script.token = "x"
    page = open_page(script, color_scheme="dark")
    page.get_by_label("Token", exact=True).fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#token-refused")).to_be_visible()
    assert page.evaluate(LOW_CONTRAST)["low"] == []


def test_the_switch_goes_before_the_system_and_stays(open_page: Open) -> None:
    page = open_page(busy_script(), color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    switch = page.locator("#theme")
    expect(switch).to_have_attribute("aria-pressed", "false")
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert dark != light
    expect(switch).to_have_attribute("aria-pressed", "true")
    switch.click()
    assert page.evaluate(ground) == light
    page.reload()
    assert page.evaluate(ground) == light
    expect(switch).to_have_attribute("aria-pressed", "false")
    switch.click()  # as the system has it: it is followed again
    assert page.evaluate(ground) == dark
    page.emulate_media(color_scheme="light")
    assert page.evaluate(ground) == light


@pytest.mark.parametrize("width", [390, 320])
def test_a_phone_scrolls_in_one_direction(open_page: Open, width: int) -> None:
    page = open_page(busy_script(), width, 844, has_touch=True, is_mobile=True)
    sideways = """() => [document.documentElement, ...document.querySelectorAll('body *')]
        .filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1
            && ['auto', 'scroll'].includes(getComputedStyle(one).overflowX))
        .map((one) => one.id || one.className)"""
    beyond = """() => [...document.querySelectorAll('main *, header *')]
        .filter((one) => one.checkVisibility() && !one.closest('.unseen, .skip, #models'))
        .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
        .map((one) => one.outerHTML.slice(0, 80))"""
    choose(page, "base", "sft", "dpo")
    say(page, "What do you know of " + "y" * 300)
    wait_until_finished(page)
    answer_of(page, "base").get_by_role("button", name="Tokens").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    # The row of models alone may be moved sideways.
    assert set(page.evaluate(sideways)) <= {"models"}
    assert page.evaluate(beyond) == []
    # Answers stand one below the other.
    boxes = [answer_of(page, model).bounding_box() for model in ("base", "sft", "dpo")]
    tops = [box["y"] for box in boxes if box is not None]
    assert tops == sorted(tops)
    assert len(set(tops)) == 3
    for name in ("history", "settings"):
        page.click(f"#{name}-button")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert set(page.evaluate(sideways)) <= {"models"}
        page.get_by_role("button", name=f"Close {name}").click()


def test_a_panel_over_the_conversation_takes_and_gives_back_the_focus(open_page: Open) -> None:
    page = open_page(busy_script(), 390, 844)
    settings, button = page.locator("#settings"), page.locator("#settings-button")
    expect(settings).to_be_hidden()
    button.click()
    expect(settings).to_be_focused()
    expect(button).to_have_attribute("aria-expanded", "true")
    for _ in range(30):
        page.keyboard.press("Tab")
        assert page.evaluate("!document.activeElement.closest('main, header')")
    page.locator("#system").focus()
    page.keyboard.press("Escape")
    expect(settings).to_be_hidden()
    expect(button).to_be_focused()


def test_a_walk_by_keyboard_alone(open_page: Open) -> None:
    """Every control is reached, in the order it is read, and is seen to have the focus."""
    page = open_page(busy_script())
    choose(page, "sft", "dpo")
    say(page, "One")
    wait_until_finished(page)
    page.locator(".skip").focus()  # the first of all
    order = list[str]()
    for _ in range(60):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "() => { const at = document.activeElement;"
            " return at === document.body ? '' : at.id || at.getAttribute('aria-label')"
            " || at.textContent.trim() || at.value }"
        )
        if not name:
            break
        order.append(name)
        ring = "() => { const at = document.activeElement.matches('#models input')"
        ring += " ? document.activeElement.parentElement : document.activeElement;"
        ring += " const style = getComputedStyle(at);"
        ring += " return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1 }"
        assert page.evaluate(ring), name
    places = [
        order.index(name)
        for name in (
            "base",
            "history-button",
            "settings-button",
            "theme",
            "new",
            "Delete One",
            "export-all",
            "Edit and send again",
            "Copy your message",
            "Try again",
            "Tokens of the answer of dpo",
            "Copy the answer of dpo",
            "message",
            "send",
            "system",
            "control-temperature",
            "control-seed",
            "reset",
        )
    ]
    assert places == sorted(places)
    assert len(order) == len(set(order))


def test_keys_alone_carry_a_conversation(open_page: Open) -> None:
    script = Script({"base": [Answer(words("Yes."))], "sft": [Answer(words("No."))]})
    page = open_page(script)
    expect(page.locator("#message")).to_be_focused()
    expect(page.locator(".skip")).not_to_be_in_viewport()
    page.locator(".skip").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # base too
    page.keyboard.press("Shift+Tab")
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_be_focused()
    page.keyboard.type("Is it?")
    page.keyboard.press("Enter")
    wait_until_finished(page)
    expect(page.locator(".answer .text")).to_have_text(["Yes.", "No."])
    expect(page.locator("#message")).to_be_focused()


def test_a_screen_reader_finds_its_way(open_page: Open) -> None:
    page = open_page(busy_script())
    fill(page)
    for role in ("banner", "navigation", "main", "complementary"):
        expect(page.get_by_role(role)).to_have_count(1)  # type: ignore[arg-type]
    assert page.locator("html").get_attribute("lang") == "en"
    expect(page.get_by_role("article")).to_have_count(3)
    nameless = """() => [...document.querySelectorAll('button, input, textarea, [role=option]')]
        .filter((one) => !one.labels?.length && !one.getAttribute('aria-label')
            && !one.textContent.trim()).map((one) => one.outerHTML)"""
    assert page.evaluate(nameless) == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))
    levels = page.evaluate(
        "[...document.querySelectorAll('main h1, main h2, main h3, main h4')].map("
        "(one) => Number(one.tagName[1]))"
    )
    assert min(levels) >= 2
    expect(page.locator("#finished")).to_have_attribute("aria-live", "polite")
    # Pieces of an answer are not read one by one.
    assert page.locator("#turns [aria-live], #turns [role=log]").count() == 0


def test_without_motion_nothing_moves(open_page: Open) -> None:
    page = open_page(busy_script(), reduced_motion="reduce")
    fill(page)
    moving = """() => [...document.querySelectorAll('*')].flatMap((one) =>
        [null, '::before', '::after'].map((part) => getComputedStyle(one, part))
        .filter((style) => style.animationName !== 'none'
            || style.transitionDuration.split(', ').some((time) => parseFloat(time) > 0))).length"""
    assert page.evaluate(moving) == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(moving) > 0
