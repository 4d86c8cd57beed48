"""Answers in the chat page: streamed, stopped, side by side, and always text."""

from __future__ import annotations

import itertools
import threading

import pytest
from playwright.sync_api import Locator, expect

from tests.llm.serving.page.scripted_api import Answer, Script, Token, words
from tests.llm.serving.page.steps import Open, answer_of, choose, say, wait_until_finished

HOSTILE = (
    "<script>window.ran = 1</script> <img src=x onerror='window.ran=2'> "
    "<svg onload='window.ran=3'></svg> </div><style>*{display:none}</style> &lt;b&gt;"
)


def test_an_answer_is_shown_while_it_comes(open_page: Open) -> None:
    gate = threading.Event()
    script = Script({"base": [Answer(words("Once upon a time."), gate, before_gate=2)]})
    page = open_page(script)
    say(page, "Tell me a story")
    text = page.locator(".answer .text")
    expect(text).to_have_text("Once upon")
    expect(text).to_have_class("text running")
    expect(page.locator("#finished")).to_be_empty()
    gate.set()
    expect(text).to_have_text("Once upon a time.")
    wait_until_finished(page)
    expect(page.locator(".figures")).to_contain_text("to the first token")
    expect(page.locator(".figures")).to_contain_text("tokens/s")
    expect(page.locator(".figures")).to_contain_text("4 tokens")
    # A screen reader is told once, at the end.
    expect(page.locator("#finished")).to_have_text("base: Once upon a time.")
    [body] = script.asked
    assert body["messages"] == [{"role": "user", "content": "Tell me a story"}]
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert body["logprobs"] is True
    assert body["top_logprobs"] >= 5


@pytest.mark.parametrize("way", ["Escape", "button"])
def test_stop_ends_the_request_and_keeps_what_was_said(open_page: Open, way: str) -> None:
    gate = threading.Event()
    script = Script({"base": [Answer(words("One two three"), gate), Answer(words("Yes."))]})
    page = open_page(script)
    say(page, "Count")
    answer = answer_of(page, "base")
    expect(answer.locator(".text")).to_have_text("One")
    if way == "button":
        page.click("#stop")
    else:
        page.keyboard.press("Escape")
    assert script.hung_up.wait(10)
    wait_until_finished(page)
    expect(answer.locator(".text")).to_have_text("One")
    expect(answer).to_contain_text("Stopped")
    expect(page.locator("#message")).to_be_focused()
    say(page, "Go on")
    expect(answer_of(page, "base").locator(".text")).to_have_text("Yes.")
    assert [message["content"] for message in script.asked[1]["messages"]] == [
        "Count",
        "One",
        "Go on",
    ]


def test_what_a_model_writes_is_text(open_page: Open) -> None:
    script = Script({"base": [Answer([Token(HOSTILE, -1.0, ((HOSTILE + "!", -2.0),))])]})
    page = open_page(script)
    say(page, HOSTILE)
    wait_until_finished(page)
    answer = answer_of(page, "base")
    expect(answer.locator(".text")).to_have_text(HOSTILE)
    expect(page.locator(".message .text")).to_have_text(HOSTILE)
    answer.get_by_role("button", name="Tokens").click()
    expect(answer.get_by_role("option")).to_have_text(HOSTILE)
    expect(answer.locator(".bars li").nth(1)).to_contain_text("onerror")
    # Twice: as it was made, and as it is read from the browser's storage.
    for _ in range(2):
        assert page.evaluate("window.ran") is None
        for place in ("#turns", "#history", "#finished"):
            assert page.locator(place).locator("script, img, svg, style").count() == 0
        page.reload()
        page.locator(".entry").click()
        expect(answer.locator(".text")).to_have_text(HOSTILE)


def test_markup_and_inline_scripts_are_refused_by_the_browser_too(open_page: Open) -> None:
    page = open_page(Script({"base": [Answer(words("Hi"))]}), expects=("TrustedHTML",))
    markup = "document.body.innerHTML = '<b>x</b>'"
    refused = f"() => {{ try {{ {markup}; return null }} catch (e) {{ return e.name }} }}"
    assert page.evaluate(refused) == "TypeError"
    policy = page.locator("meta[http-equiv='Content-Security-Policy']").get_attribute("content")
    assert policy is not None
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert page.locator("script:not([src]), [style], [onclick], [onload]").count() == 0


def test_nothing_is_asked_of_another_server(open_page: Open) -> None:
    script = Script({"base": [Answer(words("See https://example.org/x.png there"))]})
    page = open_page(script)
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    origin = page.url
    page.reload()
    say(page, "Where?")
    wait_until_finished(page)
    assert any(address.endswith("/v1/chat/completions") for address in asked)
    assert all(address.startswith(origin) for address in asked)


def test_models_answer_side_by_side(open_page: Open) -> None:
    gate = threading.Event()
    script = Script(
        {
            "base": [Answer(words("and then it rained"), gate)],
            "sft": [Answer(words("It is raining."))],
            "dpo": [Answer(words("Rain."))],
            "extra": [Answer(words("no"))],
        }
    )
    page = open_page(script)
    choose(page, "base", "sft", "dpo")
    expect(page.get_by_label("extra", exact=True)).to_be_disabled()
    say(page, "Weather?")
    # One that waits holds up no other.
    expect(answer_of(page, "sft").locator(".text")).to_have_text("It is raining.")
    expect(answer_of(page, "dpo").locator(".text")).to_have_text("Rain.")
    expect(answer_of(page, "base").locator(".text")).to_have_text("and")
    gate.set()
    wait_until_finished(page)
    expect(answer_of(page, "base").locator(".text")).to_have_text("and then it rained")
    boxes = [_box(answer_of(page, model)) for model in ("base", "sft", "dpo")]
    assert len({round(box["y"]) for box in boxes}) == 1
    for left, right in itertools.pairwise(boxes):
        assert left["x"] + left["width"] <= right["x"]
    seeds = {body["seed"] for body in script.asked}
    assert len(seeds) == 1
    assert not script.asked_of("extra")


def _box(place: Locator) -> dict[str, float]:
    box = place.bounding_box()
    assert box is not None
    return dict(box)


def test_each_model_is_told_its_own_answers(open_page: Open) -> None:
    script = Script(
        {
            "base": [Answer(words("I am base")), Answer(words("still base"))],
            "sft": [Answer(words("I am tuned")), Answer(words("still tuned"))],
        }
    )
    page = open_page(script)
    page.fill("#system", "Be brief.")
    choose(page, "sft")
    say(page, "First")
    wait_until_finished(page)
    choose(page, "base", "sft")
    say(page, "Second")
    wait_until_finished(page)
    system = {"role": "system", "content": "Be brief."}
    assert script.asked_of("sft")[1]["messages"] == [
        system,
        {"role": "user", "content": "First"},
        {"role": "assistant", "content": "I am tuned"},
        {"role": "user", "content": "Second"},
    ]
    # It was not there in the first turn.
    assert script.asked_of("base")[0]["messages"] == [system, {"role": "user", "content": "Second"}]


def test_a_model_that_says_nothing_and_one_that_is_cut(open_page: Open) -> None:
    script = Script({"base": [Answer([]), Answer(words("and so on and"), finish="length")]})
    page = open_page(script)
    say(page, "One")
    wait_until_finished(page)
    expect(answer_of(page, "base").locator(".text")).to_have_class("text empty")
    page.fill("#control-max_tokens", "4")
    say(page, "Two")
    wait_until_finished(page)
    expect(answer_of(page, "base")).to_contain_text("Cut at the maximum of tokens")
    page.click("#reset")
    say(page, "Three")
    wait_until_finished(page)
    expect(answer_of(page, "base")).to_contain_text("Cut by the server: context full")
    assert len(script.asked[1]["messages"]) == 1


def test_copy(open_page: Open) -> None:
    script = Script({"base": [Answer(words("To be copied,\nboth lines."))]})
    page = open_page(script, permissions=["clipboard-read", "clipboard-write"])
    say(page, "Say it")
    wait_until_finished(page)
    copy = page.get_by_role("button", name="Copy the answer of base")
    copy.click()
    expect(copy).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "To be copied,\nboth lines."


def test_copy_where_the_browser_gives_no_clipboard(open_page: Open) -> None:
    """As on a page that came over plain HTTP from another machine."""
    script = Script({"base": [Answer(words("To be copied"))]})
    page = open_page(script, permissions=["clipboard-read", "clipboard-write"])
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    say(page, "Say it")
    wait_until_finished(page)
    copy = page.get_by_role("button", name="Copy the answer of base")
    copy.click()
    expect(copy).to_have_text("Copied")
    expect(copy).to_be_focused()
    page.locator("#message").focus()
    page.keyboard.press("Control+V")
    expect(page.locator("#message")).to_have_value("To be copied")
