"""Conversations the chat page keeps in the browser, also where its storage is no help."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.llm.serving.page.scripted_api import Answer, Script, Token, words
from tests.llm.serving.page.steps import Open, answer_of, choose, say, wait_until_finished

KEY = "ingot.conversation."


def two_models() -> Script:
    return Script({"base": [Answer(words("I go on"))], "sft": [Answer(words("I reply"))]})


def talk(page: Page, *messages: str) -> None:
    for text in messages:
        say(page, text)
        wait_until_finished(page)


def test_history_is_there_after_a_reload(open_page: Open) -> None:
    script = two_models()
    page = open_page(script)
    choose(page, "base", "sft")
    page.fill("#system", "Be kind.")
    talk(page, "First of one", "Second of one")
    page.click("#new")
    expect(page.locator(".turn")).to_have_count(0)
    page.fill("#system", "")
    choose(page, "sft")
    talk(page, "First of two")
    page.reload()
    expect(page.locator(".entry span")).to_have_text(["First of two", "First of one"])
    expect(page.locator(".turn")).to_have_count(0)
    page.locator(".entry", has_text="First of one").click()
    expect(page.locator(".message .text")).to_have_text(["First of one", "Second of one"])
    expect(answer_of(page, "base").locator(".text")).to_have_text("I go on")
    expect(answer_of(page, "base")).to_contain_text("3 tokens")
    expect(page.locator("#system")).to_have_value("Be kind.")
    expect(page.locator("#models input:checked")).to_have_count(2)
    # It goes on where it was.
    say(page, "Third of one")
    wait_until_finished(page)
    assert [message["content"] for message in script.asked_of("sft")[-1]["messages"]] == [
        "Be kind.",
        "First of one",
        "I reply",
        "Second of one",
        "I reply",
        "Third of one",
    ]


def test_the_list_keeps_the_focus(open_page: Open) -> None:
    gate = threading.Event()
    script = Script({"base": [Answer(words("Yes.")), Answer(words("I go on"), gate)]})
    page = open_page(script)
    talk(page, "One")
    page.click("#new")
    say(page, "Two")
    expect(answer_of(page, "base").locator(".text")).to_have_text("I")
    other = page.locator(".entry", has_text="One")
    other.focus()
    gate.set()
    wait_until_finished(page)
    expect(answer_of(page, "base").locator(".text")).to_have_text("I go on")
    expect(other).to_be_focused()
    page.keyboard.press("Enter")
    expect(other).to_have_attribute("aria-current", "true")
    expect(other).to_be_focused()


def test_a_conversation_is_deleted_when_that_is_meant(open_page: Open) -> None:
    page = open_page(two_models())
    talk(page, "Keep or not")
    delete = page.get_by_role("button", name="Delete Keep or not")
    page.once("dialog", lambda dialog: dialog.dismiss())
    delete.click()
    expect(page.locator(".entry")).to_have_count(1)
    page.once("dialog", lambda dialog: dialog.accept())
    delete.click()
    expect(page.locator(".entry")).to_have_count(0)
    expect(page.locator(".turn")).to_have_count(0)
    page.reload()
    expect(page.locator("#no-conversations")).to_be_visible()


def test_history_is_exported_as_json(open_page: Open, tmp_path: Path) -> None:
    page = open_page(two_models())
    choose(page, "sft")
    talk(page, "To be taken along ☂")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export To be taken along").click()
    download.value.save_as(tmp_path / "one.json")
    with page.expect_download() as download:
        page.click("#export-all")
    download.value.save_as(tmp_path / "all.json")
    [one] = json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))
    assert json.loads((tmp_path / "all.json").read_text(encoding="utf-8")) == [one]
    [turn] = one["turns"]
    assert turn["prompt"] == "To be taken along ☂"
    assert [(answer["model"], answer["text"]) for answer in turn["answers"]] == [("sft", "I reply")]
    assert turn["answers"][0]["sampling"]["temperature"] == 0.7


def test_an_answer_the_page_was_left_in_is_shown_as_stopped(open_page: Open) -> None:
    script = Script({"base": [Answer(words("I go on"), gate=threading.Event())]})
    page = open_page(script)
    say(page, "Never ends")
    expect(answer_of(page, "base").locator(".text")).to_have_text("I")
    page.reload()
    assert script.hung_up.wait(10)
    page.locator(".entry").click()
    expect(answer_of(page, "base").locator(".text")).to_have_text("I")
    expect(answer_of(page, "base")).to_contain_text("Stopped")
    expect(page.locator("#send")).to_be_visible()


def test_an_answer_the_browser_was_killed_in_is_shown_as_stopped(open_page: Open) -> None:
    page = open_page(two_models())
    choose(page, "sft")
    talk(page, "Hello")
    page.evaluate(
        "prefix => { const key = Object.keys(localStorage).find((key) => key.startsWith(prefix));"
        " localStorage[key] = localStorage[key].replace('\"finished\"', '\"running\"') }",
        KEY,
    )
    page.reload()
    page.locator(".entry").click()
    expect(answer_of(page, "sft")).to_contain_text("Stopped")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


def test_storage_that_is_off(open_page: Open) -> None:
    page = open_page(two_models())
    off = "{ get() { throw new DOMException('off', 'SecurityError') } }"
    page.add_init_script(f"Object.defineProperty(window, 'localStorage', {off})")
    page.add_init_script(f"Object.defineProperty(window, 'sessionStorage', {off})")
    page.reload()
    expect(page.locator("#notice")).to_contain_text("keeps no data")
    choose(page, "sft")
    talk(page, "Hello")
    expect(answer_of(page, "sft").locator(".text")).to_have_text("I reply")
    expect(page.locator(".entry")).to_have_count(1)
    page.click("#theme")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_storage_that_holds_something_else(open_page: Open) -> None:
    """What is no conversation is left alone and counted; those that are one are listed."""
    page = open_page(two_models())
    talk(page, "A sound one")
    sound = page.evaluate(
        f"JSON.parse(localStorage[Object.keys(localStorage).find(key => key.startsWith('{KEY}'))])"
    )
    answer = {"answers": [{"model": "base", "text": 3}]}
    broken = {
        "a": "{half",
        "b": "null",
        "c": json.dumps({**sound, "id": "c", "turns": 5}),
        "d": json.dumps({**sound, "id": "d", "turns": [{"prompt": "x", **answer}]}),
        "e": json.dumps({**sound, "id": "another"}),
        "f": "[]",
    }
    page.evaluate(
        "entries => Object.assign(localStorage, entries)",
        {KEY + name: text for name, text in broken.items()},
    )
    page.evaluate("Object.assign(localStorage, {'ingot.settings': '{]', 'ingot.models': '7'})")
    page.reload()
    expect(page.locator(".entry span")).to_have_text(["A sound one"])
    expect(page.locator("#notice")).to_contain_text("6 stored conversations could not be read")
    assert page.evaluate(f"localStorage['{KEY}a']") == "{half"
    talk(page, "And it works")
    expect(page.locator(".entry")).to_have_count(2)


def test_storage_that_is_full(open_page: Open) -> None:
    """Token probabilities of older conversations make room; then it is said."""
    others = tuple((f"other {number}", -3.0 - number) for number in range(5))
    lengths = (60, 20, 60)
    answers = [Answer([Token("word ", -0.5, others)] * length) for length in lengths]
    script = Script({"base": answers})
    page = open_page(script)
    talk(page, "Older")
    page.click("#new")
    fill = """() => { let size = 2 ** 22; while (size > 64) {
        try { localStorage.setItem('filler' + Math.random(), 'x'.repeat(size)) }
        catch { size /= 2 } } }"""
    page.evaluate(fill)
    talk(page, "Newer")
    expect(page.locator("#notice")).to_contain_text("token probabilities of older answers")
    page.reload()
    page.locator(".entry", has_text="Newer").click()
    expect(page.get_by_role("button", name="Tokens")).to_be_visible()
    page.locator(".entry", has_text="Older").click()
    expect(answer_of(page, "base").locator(".text")).to_contain_text("word word")
    expect(page.get_by_role("button", name="Tokens")).to_be_hidden()
    page.click("#new")
    page.evaluate(fill)
    talk(page, "x" * 100_000)
    expect(page.locator("#notice")).to_contain_text("this conversation is not kept")
    expect(answer_of(page, "base").locator(".text")).to_contain_text("word word")
