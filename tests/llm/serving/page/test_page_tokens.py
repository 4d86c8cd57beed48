"""The tokens of an answer: their probabilities, what else might have been said, two sliders."""

from __future__ import annotations

import math

import pytest
from playwright.sync_api import Page, expect

from tests.llm.serving.page.scripted_api import Answer, Script, Token
from tests.llm.serving.page.steps import Open, answer_of, say, wait_until_finished

OTHERS = ((" a", 0.25), (" an", 0.1), (" one", 0.05), (" my", 0.03), (" no", 0.02))


def scored(text: str, chance: float, *others: tuple[str, float]) -> Token:
    return Token(text, math.log(chance), tuple((word, math.log(p)) for word, p in others))


TOKENS = [
    scored("In", 0.95, ("On", 0.02)),
    scored(" the", 0.5, *OTHERS),
    scored(" end", 0.7),
    scored("\n", 0.2, (" ", 0.6)),
    scored("x", 0.05, ("y", 0.9)),
    Token("\ufffd", math.log(0.4), data=b"\xf0\x9f"),
]


def tokens_of(page: Page) -> None:
    say(page, "Go on")
    wait_until_finished(page)
    answer_of(page, "base").get_by_role("button", name="Tokens").click()


def bars(page: Page) -> dict[str, float]:
    """Tokens and the width of their bars."""
    rows = page.locator(".bars li").all()
    return {
        row.locator("code").inner_text(): row.locator(".bar").evaluate(
            "bar => parseFloat(bar.style.width) / 100"
        )
        for row in rows
    }


def move(page: Page, name: str, value: float) -> None:
    page.locator(".sliders").get_by_label(name).fill(str(value))


@pytest.fixture
def page(open_page: Open) -> Page:
    page = open_page(Script({"base": [Answer(TOKENS)]}))
    tokens_of(page)
    return page


def test_tokens_are_coloured_by_probability(page: Page) -> None:
    options = page.get_by_role("option")
    expect(options).to_have_count(len(TOKENS))
    classes = [option.get_attribute("class") for option in options.all()]
    assert classes == [f"token p{step}" for step in (0, 2, 1, 3, 4, 2)]
    expect(options.nth(1)).to_have_attribute("aria-label", " the, 50.0 %")
    expect(options.nth(3)).to_have_attribute("aria-label", "new line, 20.0 %")
    # Half a letter is shown as its bytes.
    expect(options.nth(5)).to_have_text("⟨f0 9f⟩")
    colours = [
        option.evaluate("o => getComputedStyle(o).backgroundColor") for option in options.all()
    ]
    assert len(set(colours)) == 5


def test_a_token_is_shown_with_its_runners_up(page: Page) -> None:
    page.get_by_role("option").nth(1).click()
    expect(page.locator(".detail h4")).to_contain_text("␣the")
    expect(page.locator(".detail h4")).to_contain_text("50.0 %")
    expect(page.locator(".bars .chosen code")).to_have_text("␣the")
    shown = bars(page)
    assert list(shown) == ["␣the", "␣a", "␣an", "␣one", "␣my", "␣no"]
    # Over what is known, of which the model gave 95 %; the marks are what the model gave.
    expect(page.locator(".detail")).to_contain_text("all others together 5.0 %")
    known = 0.5 + sum(chance for _, chance in OTHERS)
    assert list(shown.values()) == pytest.approx(
        [chance / known for chance in (0.5, *(chance for _, chance in OTHERS))], abs=1e-4
    )
    marks = page.locator(".bars .mark").evaluate_all(
        "all => all.map(m => parseFloat(m.style.left))"
    )
    assert marks == pytest.approx([50, 25, 10, 5, 3, 2], abs=1e-2)


def test_a_chosen_token_that_was_unlikely_is_among_the_bars(page: Page) -> None:
    page.get_by_role("option").nth(4).click()
    assert list(bars(page)) == ["y", "x"]
    expect(page.locator(".bars .chosen code")).to_have_text("x")


def test_sliders_redraw_the_distribution(page: Page) -> None:
    page.get_by_role("option").nth(1).click()
    for temperature, top_k in [(1, 6), (0.5, 6), (2, 6), (3, 3), (0.05, 6), (1, 1), (1, 2), (0, 6)]:
        move(page, "Temperature", temperature)
        move(page, "Top-k", top_k)
        chances = [0.5, *(chance for _, chance in OTHERS)][:top_k]
        if temperature == 0:
            expected = [1.0, *[0.0] * 5]
        else:
            weights = [chance ** (1 / temperature) for chance in chances] + [0.0] * (6 - top_k)
            expected = [weight / sum(weights) for weight in weights]
        assert list(bars(page).values()) == pytest.approx(expected, abs=1e-4)
        first = f"{expected[0] * 100:.1f}" if expected[0] < 0.9995 else "100"
        expect(page.locator(".bars .figure").first).to_have_text(f"{first} %")
    slider = page.locator(".sliders").get_by_label("Temperature")
    expect(slider).to_have_attribute("aria-valuetext", "0,  the: 100 %")


def test_tokens_by_keyboard(page: Page) -> None:
    """The list is one stop of the Tab key; arrows go through it."""
    button = answer_of(page, "base").get_by_role("button", name="Tokens")
    button.focus()
    page.keyboard.press("Tab")  # to Copy
    page.keyboard.press("Tab")
    options = page.get_by_role("option")
    expect(options.nth(0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(options.nth(1)).to_be_focused()
    expect(page.locator(".detail h4")).to_contain_text("␣the")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("option", selected=True)).to_have_count(1)
    page.keyboard.press("End")
    expect(options.nth(5)).to_be_focused()
    page.keyboard.press("ArrowUp")  # over the new line
    expect(options.nth(1)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(options.nth(5)).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    expect(options.nth(0)).to_be_focused()
    page.keyboard.press("Tab")
    slider = page.locator(".sliders").get_by_label("Temperature")
    expect(slider).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("1.05")


def test_the_text_comes_back(page: Page) -> None:
    button = answer_of(page, "base").get_by_role("button", name="Tokens")
    expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    expect(page.get_by_role("option")).to_have_count(0)
    expect(answer_of(page, "base").locator(".text")).to_contain_text("In the end")
