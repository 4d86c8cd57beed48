"""Tables with long words: where they may be broken, and that nothing else is another."""

from __future__ import annotations

import hashlib

from tasks.panels.breaks import breakable
from tasks.panels.markdown import markdown
from tasks.panels.panels import Sample, Samples, Table

DIGEST = hashlib.sha256(b"a page").hexdigest()


def cells(*row: str) -> list[str]:
    """Those of a table of one row."""
    text = breakable(markdown(Table("Rows", [f"{n}" for n in range(len(row))], [[*row]])))
    return text.splitlines()[-1].removeprefix("| ").removesuffix(" |").split(" | ")


def test_a_long_word_may_be_broken_and_is_the_same_word() -> None:
    shown, name, short = cells(DIGEST, "preference_accuracy", "a_b")
    assert shown.replace("<wbr>", "") == DIGEST
    assert max(len(piece) for piece in shown.split("<wbr>")) <= 32
    assert name == r"preference\_<wbr>accuracy"
    assert short == r"a\_b"


def test_a_page_is_linked_whole() -> None:
    [shown] = cells("https://shop.example/a_long/way?to=a&page=1")
    text, _, address = shown.removesuffix(")").partition("](")
    assert address == "<https://shop.example/a_long/way?to=a&page=1>"
    assert text.replace("<wbr>", "") == r"[https://shop.example/a\_long/way?to=a&amp;page=1"
    assert "<wbr>" in text


def test_no_address_ends_a_link_or_the_table() -> None:
    [shown] = cells("https://shop.example/a)b]c|d'e\"f(g`h")
    address = shown.rpartition("](<")[2]
    assert address.startswith("https://shop.example/")
    assert not set(address.removesuffix(">)")) & set("()[]|'\"`<>")


def test_what_is_no_table_is_as_it_was() -> None:
    said = Samples("Said", [Sample(DIGEST, f"| {DIGEST} |", {"of": DIGEST})])
    text = markdown(said)
    assert breakable(text) == text
    linked = f"| [progress-{DIGEST}](../artifact/{DIGEST}) |"
    assert breakable(linked) == linked
