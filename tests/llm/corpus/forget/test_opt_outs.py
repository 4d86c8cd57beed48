"""What a list of pages to leave out may hold, what it matches, and how a wrong line is told."""

from __future__ import annotations

import gzip
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.corpus.forget.opt_outs import Entry, OptOutFileError, OptOuts, parse_entry, read_opt_outs

ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "kind", "known_as"),
    [
        (ID.upper(), "doc_id", ID),
        ("Example.ORG", "domain", "example.org"),
        ("*.example.org", "domain", "example.org"),
        ("www.example.org:8080", "domain", "example.org"),
        ("bücher.example", "domain", "bücher.example"),
        ("numpy", "domain", "numpy"),
        ("https://www.Example.org/a/?utm_source=x#top", "url", "example.org/a"),
        ("example.org/a", "url", "example.org/a"),
        ("pydocs://numpy/numpy.linalg", "url", "numpy/numpy.linalg"),
        ("file:///notes/a.txt", "url", "file:///notes/a.txt"),
        ("id:1234", "url", "id:1234"),
    ],
)
def test_what_an_entry_is(text: str, kind: str, known_as: str) -> None:
    assert parse_entry(f" {text} ") == Entry(kind, known_as)


@pytest.mark.parametrize("text", ["", "two words", "-x.org", "a..b", "exa$mple.org"])
def test_what_is_no_entry(text: str) -> None:
    with pytest.raises(ValueError, match="is not a URL, a domain or a doc_id"):
        parse_entry(text)


def matched(entries: list[str], urls: list[str | None]) -> list[int]:
    found = OptOuts(map(parse_entry, entries))
    return [place for place, _ in found.matches([f"{n:032x}" for n in range(len(urls))], urls)]


def test_a_domain_takes_what_lies_below_it_and_nothing_that_only_ends_so() -> None:
    urls = [
        "https://example.org/",
        "http://blog.example.org:81/x",
        "https://WWW.EXAMPLE.org/y",
        "https://notexample.org/",
        "https://example.org.evil.net/",
        "https://org/",
        "https://evil.net/?u=example.org",
        "https://[broken/example.org",
        None,
    ]
    assert matched(["example.org"], urls) == [0, 1, 2]
    assert matched(["org"], urls) == [0, 1, 2, 3, 5]


@given(st.from_regex(r"(http|a1)://[wW.aé@:0/?#\[\n\\-]{0,12}", fullmatch=True))
def test_a_host_is_the_one_the_standard_library_reads(url: str) -> None:
    try:
        host = (urlsplit(url).hostname or "").rstrip(".").removeprefix("www.")
    except ValueError:
        host = ""
    assert [place for place, _ in OptOuts([Entry("domain", "w")]).matches(["0"], [url])] == (
        [0] if "w" in _with_parents(host) else []
    )
    every = [Entry("domain", each) for each in _with_parents(host)]
    assert len(list(OptOuts(every).matches(["0"], [url]))) == bool(host)


def _with_parents(host: str) -> list[str]:
    labels = host.split(".")
    return [".".join(labels[at:]) for at in range(len(labels)) if host]


def test_a_url_takes_the_page_however_it_is_written_and_no_other() -> None:
    urls = [
        "http://example.org/a/",
        "https://www.example.org/a#part",
        "https://example.org/a?page=2",
        "https://example.org/ab",
        "https://blog.example.org/a",
        "id:7",
        "id:77",
    ]
    assert matched(["https://example.org/a", "id:7"], urls) == [0, 1, 5]


def test_a_doc_id_takes_that_page_alone() -> None:
    assert matched([f"{1:032x}"], ["https://a.org/", "https://a.org/", None]) == [1]
    assert matched([], ["https://a.org/"]) == []


def test_lists_are_read_in_either_form(tmp_path: Path) -> None:
    plain = tmp_path / "list.txt"
    plain.write_text(f"\ufeff# asked by letter\nexample.org\n\n  https://a.org/x \r\n{ID}\n")
    wanted = [Entry("domain", "example.org"), Entry("url", "a.org/x"), Entry("doc_id", ID)]
    assert read_opt_outs(plain, "list.txt") == wanted
    table = tmp_path / "list.csv.gz"
    rows = f'asked,URL,domain,note\n2026-01-01,,example.org,"a, b"\n,https://a.org/x,,\n,,,{ID}\n'
    table.write_bytes(gzip.compress(rows.encode()))
    assert read_opt_outs(table, "list.csv.gz") == wanted[:2]
    table = tmp_path / "any.csv"
    table.write_text(f"entry\nexample.org\nhttps://a.org/x\n{ID}\n")
    assert read_opt_outs(table, "any.csv") == wanted


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("l.txt", "example.org\nno entry\n", r"l\.txt, line 2: 'no entry' is not a URL"),
        ("l.csv", "who,what\na,b\n", r"l\.csv, line 1: no column is called entry, url"),
        ("l.csv", "domain\nhttps://a.org/x\n", r"l\.csv, line 2: .* is not a domain"),
        ("l.csv", 'url\n"https://a.org\n', r"l\.csv, line 2: "),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(OptOutFileError, match=said):
        read_opt_outs(tmp_path / name, name)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(OptOutFileError, match=r"l\.txt: cannot be read"):
        read_opt_outs(tmp_path / "l.txt", "l.txt")
