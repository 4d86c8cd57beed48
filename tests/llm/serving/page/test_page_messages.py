"""What is sent from the chat page: messages edited and sent again, settings, counts of tokens."""

from __future__ import annotations

import threading

from playwright.sync_api import expect

from tests.llm.serving.page.scripted_api import Answer, Script, words
from tests.llm.serving.page.steps import Open, answer_of, choose, say, wait_until_finished


def test_a_turn_is_edited_and_sent_again(open_page: Open) -> None:
    """What followed it is dropped; what came before is sent along."""
    answers = [Answer(words(text)) for text in ("A one", "A two", "A three", "A new two")]
    script = Script({"base": answers})
    page = open_page(script)
    for text in ("Q one", "Q two", "Q three"):
        say(page, text)
        wait_until_finished(page)
    page.locator(".turn").nth(1).get_by_role("button", name="Edit and send again").click()
    field = page.get_by_label("Your message", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_value("Q two")
    field.fill("Q better two")
    field.press("Enter")
    wait_until_finished(page)
    assert [message["content"] for message in script.asked[-1]["messages"]] == [
        "Q one",
        "A one",
        "Q better two",
    ]
    expect(page.locator(".turn")).to_have_count(2)
    expect(page.locator(".message .text")).to_have_text(["Q one", "Q better two"])
    expect(page.locator(".answer .text")).to_have_text(["A one", "A new two"])
    page.reload()
    page.locator(".entry").click()
    expect(page.locator(".message .text")).to_have_text(["Q one", "Q better two"])


def test_an_edit_is_left_with_escape(open_page: Open) -> None:
    script = Script({"base": [Answer(words("Fine."))]})
    page = open_page(script)
    say(page, "As it was")
    wait_until_finished(page)
    edit = page.get_by_role("button", name="Edit and send again")
    edit.click()
    page.get_by_label("Your message", exact=True).fill("Something else")
    page.keyboard.press("Escape")
    expect(page.locator(".message .text")).to_have_text("As it was")
    expect(edit).to_be_focused()
    assert len(script.asked) == 1


def test_nothing_is_edited_or_sent_while_an_answer_comes(open_page: Open) -> None:
    gate = threading.Event()
    script = Script({"base": [Answer(words("One two"), gate)]})
    page = open_page(script)
    say(page, "Count")
    expect(answer_of(page, "base").locator(".text")).to_have_text("One")
    expect(page.get_by_role("button", name="Edit and send again")).to_be_disabled()
    say(page, "Impatient")
    expect(page.locator("#message")).to_have_value("Impatient")
    gate.set()
    wait_until_finished(page)
    assert len(script.asked) == 1


def test_enter_sends_and_shift_enter_starts_a_line(open_page: Open) -> None:
    script = Script({"base": [Answer(words("Yes."))]})
    page = open_page(script)
    message = page.locator("#message")
    expect(message).to_be_focused()
    page.keyboard.type("first")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second")
    page.keyboard.press("Enter")
    wait_until_finished(page)
    expect(message).to_have_value("")
    assert script.asked[0]["messages"][0]["content"] == "first\nsecond"
    page.keyboard.type("   ")
    page.keyboard.press("Enter")
    assert len(script.asked) == 1


def test_settings_are_sent_and_stay(open_page: Open) -> None:
    script = Script({"base": [Answer(words("Yes."))]})
    page = open_page(script)
    chosen = {
        "temperature": 0.33,
        "top_p": 0.5,
        "top_k": 40,
        "min_p": 0.05,
        "repetition_penalty": 1.1,
        "presence_penalty": -0.5,
        "frequency_penalty": 0.25,
        "max_tokens": 77,
        "seed": 7,
    }
    for name, value in chosen.items():
        page.fill(f"#control-{name}", str(value))
    page.reload()
    say(page, "With these")
    wait_until_finished(page)
    assert {name: script.asked[0][name] for name in chosen} == chosen
    page.click("#reset")
    say(page, "Without")
    wait_until_finished(page)
    say(page, "Again")
    wait_until_finished(page)
    assert script.asked[1]["top_k"] == 0
    # A seed is drawn for each answer, so that it can be told and used again.
    assert script.asked[1]["seed"] != script.asked[2]["seed"]


def test_a_setting_that_is_none_is_not_sent(open_page: Open) -> None:
    script = Script({"base": [Answer(words("Yes."))]})
    page = open_page(script)
    for name, value in [("temperature", "-1"), ("top_k", "2.5"), ("max_tokens", "")]:
        page.fill(f"#control-{name}", value)
        expect(page.locator(f"#control-{name}-fault")).to_contain_text("number from")
        say(page, "Hello")
        expect(page.locator("#notice")).to_contain_text("see Settings")
        expect(page.locator(f"#control-{name}")).to_be_focused()
        page.click("#reset")
    assert not script.asked
    expect(page.locator("#message")).to_have_value("Hello")


def test_without_a_model_nothing_is_sent(open_page: Open) -> None:
    script = Script({"base": [Answer(words("Yes."))]})
    page = open_page(script)
    choose(page)
    say(page, "Hello")
    expect(page.locator("#notice")).to_have_text("No model is chosen: choose one to three above.")
    expect(page.locator("#message")).to_have_value("Hello")
    choose(page, "base")
    page.click("#send")
    wait_until_finished(page)
    expect(page.locator("#notice")).to_be_hidden()
    assert len(script.asked) == 1


def test_every_setting_says_what_it_does(open_page: Open) -> None:
    page = open_page(Script({"base": [Answer(words("Yes."))]}))
    fields = page.locator("#sampling input")
    expect(fields).to_have_count(9)
    for field in fields.all():
        described = (field.get_attribute("aria-describedby") or "").split()
        assert len(page.locator(f"#{described[0]}").inner_text()) > 20
        assert field.evaluate("field => field.labels.length") == 1


def test_tokens_are_counted_as_they_are_typed(open_page: Open) -> None:
    page = open_page(Script({"base": [Answer(words("Yes."))]}))
    count = page.locator("#token-count")
    expect(count).to_be_hidden()
    page.fill("#message", "four words are here")
    expect(count).to_have_text("4 tokens")
    page.fill("#message", "one")
    expect(count).to_have_text("1 token")
    page.fill("#message", "")
    expect(count).to_be_hidden()


def test_a_server_that_does_not_count_is_asked_once(open_page: Open) -> None:
    script = Script({"base": [Answer(words("Yes."))]}, tokenizes=False)
    page = open_page(script)
    with page.expect_response("**/v1/tokenize"):
        page.fill("#message", "some words")
    expect(page.locator("#token-count")).to_be_hidden()
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.fill("#message", "some other words")
    page.wait_for_timeout(600)  # longer than the pause before it asks
    assert not asked


def test_the_oldest_turns_are_left_out_where_the_context_is_full(open_page: Open) -> None:
    """So that there is room for an answer: its maximum, or half the context."""
    script = Script({"base": [Answer(words("two words"))]}, context=20)
    page = open_page(script)
    page.fill("#system", "Be brief.")
    page.fill("#control-max_tokens", "9")
    # Of 11 tokens for the prompt the system takes 2, a turn and its answer 4, the last message 2.
    kept = []
    for number in range(5):
        say(page, f"message {number}")
        wait_until_finished(page)
        sent = [message["content"] for message in script.asked[-1]["messages"]]
        kept.append([text for text in sent if text.startswith("message")])
        assert sent[0] == "Be brief."
    assert kept == [
        ["message 0"],
        ["message 0", "message 1"],
        ["message 1", "message 2"],
        ["message 2", "message 3"],
        ["message 3", "message 4"],
    ]
    expect(answer_of(page, "base", 1)).not_to_contain_text("left out")
    expect(answer_of(page, "base", 2)).to_contain_text("Oldest turn left out: context full")
    expect(answer_of(page, "base", 4)).to_contain_text("3 oldest turns left out: context full")
    # More than half the context is not kept free, nor is less than the last message sent.
    page.fill("#control-max_tokens", "500")
    say(page, "word " * 30)
    wait_until_finished(page)
    assert len(script.asked[-1]["messages"]) == 2


def test_a_server_that_does_not_count_is_sent_everything(open_page: Open) -> None:
    script = Script({"base": [Answer(words("two words"))]}, tokenizes=False, context=4)
    page = open_page(script)
    for number in range(3):
        say(page, f"message {number}")
        wait_until_finished(page)
    assert len(script.asked[-1]["messages"]) == 5
