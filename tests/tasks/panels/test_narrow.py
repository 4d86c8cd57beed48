"""Tables of long words: which become lists, and that nothing of them is lost."""

from __future__ import annotations

import hashlib

from tasks.panels.markdown import markdown
from tasks.panels.narrow import narrowed
from tasks.panels.panels import Sample, Samples, Table

DIGEST = hashlib.sha256(b"a page").hexdigest()


def test_what_does_not_fit_is_a_list_in_which_words_are_whole() -> None:
    columns = ["url", "", "sha_256", "n"]
    rows = [["https://a|b.example/1", "first", DIGEST, 3], ["", None, DIGEST, 4]]
    text = markdown(Table("Taken out", columns, rows, "A note."))
    assert narrowed(text).split("\n") == [
        "### Taken out",
        "",
        rf"- **url** https://a\|b.example/1 · first · **sha\_256** {DIGEST} · **n** 3",
        rf"- – · **sha\_256** {DIGEST} · **n** 4",
        "",
        "*A note.*",
    ]


def test_what_fits_is_as_it_was() -> None:
    # By its words, not by the lines they make: a page breaks these.
    said = " ".join(["a word"] * 40)
    text = markdown(Table("Rows", ["what", "how_much"], [[said, 1], [DIGEST[:60], 2]]))
    assert narrowed(text) == text
    assert narrowed(text, width=40) != text
    linked = f"| of |\n|---|\n| [plan](../artifact/{DIGEST * 2}) |"
    assert narrowed(linked) == linked
    quoted = markdown(Samples("Said", [Sample("q", f"| {DIGEST} | {DIGEST} |\n|-|-|", {})]))
    assert narrowed(quoted) == quoted
    torn = f"| a | b |\n|---|---|\n| {DIGEST} | {DIGEST} |\n| c |"
    assert narrowed(torn) == torn
