"""Where an answer stands in training: spans underlined, documents, passports, "not found"."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from tests.llm.serving.page.scripted_api import Answer, Script, words
from tests.llm.serving.page.steps import Open, answer_of, say, wait_until_finished

TEXT = "😀 call me Ishmael today, happy families are all alike"
HOSTILE = "<img src=x onerror=alert(1)>"


def source(doc_id: str, found: str, **row: Any) -> dict[str, Any]:
    known = {"doc_id": doc_id, "url": None, "title": None, "source": "books", "licence": None}
    passage = {"before": "Chapter 1. ", "found": found, "after": " Some years ago"}
    return {"kind": "trained", "row": known | row, "places": 1, **passage}


def span(text: str, *sources: dict[str, Any]) -> dict[str, Any]:
    start = TEXT.index(text)
    where = {"start": start, "end": start + len(text), "text": text, "tokens": len(text.split())}
    return where | {"count": len(sources), "bytes_per_place": 2_500_000, "sources": sources}


FOUND = {
    "spans": [
        span(
            "call me Ishmael",
            source("d1", "call me Ishmael", title="Moby-Dick", url="https://example.org/moby"),
            source("d2", "call me Ishmael", title=HOSTILE, url="javascript:alert(1)"),
        )
    ],
    "left_out": [
        span(
            "happy families are all alike",
            source("d3", "happy families", title="Anna", stage="filter", reason="too_short"),
        )
    ],
    "covered": 0.31,
    "suppressed": [{"reason": "short", "rule": "fewer than 3 tokens", "spans": 4}],
    "searched": {"trained": 3_000_000, "left_out": 1_000_000},
}
NOTHING = {**FOUND, "spans": [], "left_out": [], "covered": 0.0, "suppressed": []}
PASSPORT = [{"stage": "filter", "output": "documents", "row": {"doc_id": "d1", "words": 12}}]


def sources_of(open_page: Open, found: dict[str, Any] | None) -> Page:
    script = Script({"base": [Answer(words(TEXT))]}, attribution=found, passports={"d1": PASSPORT})
    page = open_page(script)
    say(page, "Go on")
    wait_until_finished(page)
    if found is not None:
        answer_of(page, "base").get_by_role("button", name="Sources").click()
    return page


def test_spans_lead_to_documents_and_their_passports(open_page: Open) -> None:
    page = sources_of(open_page, FOUND)
    view = page.locator(".sources-view")
    expect(view).to_contain_text("31 % of this stands word for word in what was trained on.")
    expect(view).to_contain_text("4.0 MB were searched")
    expect(view).to_contain_text("Not shown: 4 spans, fewer than 3 tokens.")
    # Characters, not halves of them: the first is a pair.
    expect(view.locator(".span.trained")).to_have_text("call me Ishmael")
    expect(view.locator(".spans")).to_have_text(TEXT)
    view.locator(".span.trained").click()
    expect(view.locator(".detail h4")).to_contain_text("3 tokens, 2 places")
    moby = view.get_by_role("article", name="Moby-Dick")
    expect(moby.locator("mark")).to_have_text("call me Ishmael")
    expect(moby.get_by_role("link")).to_have_attribute("href", "https://example.org/moby")
    moby.get_by_role("button", name="Passport of Moby-Dick").click()
    expect(moby.locator(".passport")).to_contain_text("filter.documents doc_id=d1, words=12")
    # What a page is called is text, and no address runs anything.
    hostile = view.get_by_role("article").nth(1)
    expect(hostile.locator("strong")).to_have_text(HOSTILE)
    expect(hostile.get_by_role("link")).to_have_count(0)
    expect(page.locator(".sources-view img")).to_have_count(0)


def test_what_was_left_out_is_told_with_its_reason_from_the_keyboard(open_page: Open) -> None:
    page = sources_of(open_page, FOUND)
    left = page.locator(".span.left-out")
    left.focus()
    page.keyboard.press("Enter")
    expect(left).to_have_attribute("aria-selected", "true")
    expect(page.locator(".detail")).to_contain_text("Seen, but left out by filter: too_short")


def test_not_found_is_said_and_the_text_comes_back(open_page: Open) -> None:
    page = sources_of(open_page, NOTHING)
    expect(page.locator(".sources-view")).to_contain_text("Not found: no part of this stands")
    expect(page.locator(".span")).to_have_count(0)
    answer_of(page, "base").get_by_role("button", name="Sources").click()
    expect(answer_of(page, "base").locator(".text").first).to_have_text(TEXT)


def test_a_server_without_an_index_offers_no_sources(open_page: Open) -> None:
    page = sources_of(open_page, None)
    expect(answer_of(page, "base").get_by_role("button", name="Tokens")).to_be_visible()
    expect(answer_of(page, "base").get_by_role("button", name="Sources")).to_be_hidden()
