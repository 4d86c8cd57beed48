"""What goes wrong with the server, said in words, with a way on."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.llm.serving.page.scripted_api import Answer, Refusal, Script, words
from tests.llm.serving.page.steps import Open, answer_of, choose, say, wait_until_finished

FINE = Answer(words("Here you are."))


def test_a_busy_server_is_asked_again_after_the_time_it_names(open_page: Open) -> None:
    busy = Refusal(429, "64 requests are waiting", (("Retry-After", "2"),))
    script = Script({"base": [busy, FINE], "sft": [FINE]})
    page = open_page(script)
    choose(page, "base", "sft")
    say(page, "Now")
    answer = answer_of(page, "base")
    expect(answer.locator(".bad")).to_have_text("The server is busy: 64 requests are waiting")
    again = answer.get_by_role("button", name="Try again")
    expect(again).to_be_disabled()
    expect(again).to_have_text("Try again in 2 s")
    # The other one has answered, and is not asked again.
    expect(answer_of(page, "sft").locator(".text")).to_have_text("Here you are.")
    expect(again).to_be_enabled()
    again.click()
    expect(answer.locator(".text")).to_have_text("Here you are.")
    wait_until_finished(page)
    assert len(script.asked_of("sft")) == 1
    first, second = script.asked_of("base")
    assert first["messages"] == second["messages"]


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (Refusal(500, "it broke"), "The server failed (500): it broke"),
        (Refusal(503, "it is stopping"), "The server failed (503): it is stopping"),
        (Refusal(400, "too long"), "The server refused the request (400): too long"),
        (Answer(words("Half an"), breaks_off=True), "The connection was lost before the answer"),
        (Answer(words("Half an"), error="no memory"), "The server broke the answer off: no memory"),
    ],
    ids=["500", "503", "400", "breaks off", "error in the stream"],
)
def test_a_fault_is_said_and_the_answer_asked_for_again(
    open_page: Open, refusal: Answer | Refusal, said: str
) -> None:
    script = Script({"base": [refusal, FINE]})
    page = open_page(script)
    say(page, "Please")
    answer = answer_of(page, "base")
    expect(answer.locator(".bad")).to_contain_text(said)
    expect(page.locator("#finished")).to_contain_text(said)
    if isinstance(refusal, Answer):
        expect(answer.locator(".text")).to_have_text("Half an")
    answer.get_by_role("button", name="Try again").click()
    expect(answer.locator(".text")).to_have_text("Here you are.")
    expect(answer.locator(".bad")).to_have_count(0)
    wait_until_finished(page)
    assert script.asked[1]["messages"] == [{"role": "user", "content": "Please"}]


def test_only_the_last_turn_is_asked_for_again(open_page: Open) -> None:
    script = Script({"base": [Refusal(500, "it broke"), FINE]})
    page = open_page(script)
    say(page, "One")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    say(page, "Two")
    wait_until_finished(page)
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    expect(answer_of(page, "base", 0).locator(".bad")).to_be_visible()
    # A turn without an answer is not told.
    assert [message["content"] for message in script.asked[1]["messages"]] == ["Two"]


def test_a_server_that_is_gone(open_page: Open) -> None:
    page = open_page(Script({"base": [FINE]}))
    page.context.set_offline(True)
    say(page, "Anyone?")
    expect(answer_of(page, "base").locator(".bad")).to_contain_text("cannot be reached")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(answer_of(page, "base").locator(".text")).to_have_text("Here you are.")


def test_a_token_is_asked_for_and_kept_for_the_tab(open_page: Open) -> None:
    page = open_page(Script({"base": [FINE]}, token="s3cret"))
    field = page.get_by_label("Token", exact=True)
    expect(field).to_be_focused()
    expect(page.locator("#token-refused")).to_be_hidden()
    field.fill("wrong")
    field.press("Enter")
    expect(page.locator("#token-refused")).to_be_visible()
    field.fill("s3cret")
    field.press("Enter")
    expect(page.locator("#token-dialog")).to_be_hidden()
    expect(page.locator("#models input")).to_have_count(1)
    say(page, "Let me in")
    expect(answer_of(page, "base").locator(".text")).to_have_text("Here you are.")
    page.reload()
    expect(page.locator("#models input")).to_have_count(1)
    assert "s3cret" not in page.evaluate("JSON.stringify(localStorage)")
    assert "s3cret" in page.evaluate("JSON.stringify(sessionStorage)")


def test_without_a_token_the_page_says_so_and_asks_again(open_page: Open) -> None:
    page = open_page(Script({"base": [FINE]}, token="s3cret"))
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#notice")).to_contain_text("asks for a token")
    expect(page.locator("#send")).to_be_disabled()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_label("Token", exact=True)).to_be_focused()


def test_a_token_that_changes_meanwhile(open_page: Open) -> None:
    """All the models that were refused are asked again."""
    script = Script({"base": [FINE], "sft": [FINE]})
    page = open_page(script)
    choose(page, "base", "sft")
    script.token = "new"
    say(page, "Still me")
    field = page.get_by_label("Token", exact=True)
    field.fill("new")
    field.press("Enter")
    for model in ("base", "sft"):
        expect(answer_of(page, model).locator(".text")).to_have_text("Here you are.")
