"""Answers in the chat page: streamed, stopped, side by side, and always text."""

from __future__ import annotations

import threading

from playwright.sync_api import expect

from tests.llm.serving.page.scripted_api import Answer, Script, words
from tests.llm.serving.page.steps import Open, say, wait_until_finished


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
