"""Addresses of pages: which URLs are one, which declared ones are believed, which page stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm.corpus.sites.addresses import canonical, normalised
from llm.corpus.sites.duplicates import Keep, addresses, duplicates


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://WWW.Example.org:80/a/", "https://example.org/a"),
        ("https://example.org:443/?utm_source=x&b=2&a=1#top", "https://example.org?a=1&b=2"),
        ("https://example.org/%7efoo/%c3%a9", "https://example.org/~foo/%C3%A9"),
        ("https://example.org/a/./b/../c", "https://example.org/a/c"),
        ("https://example.org/a;jsessionid=1F?gclid=3", "https://example.org/a"),
        ("https://example.org/a?PHPSESSID=abc&p=1", "https://example.org/a?p=1"),
        ("https://example.org./", "https://example.org"),
    ],
)
def test_urls_of_one_page(one: str, other: str) -> None:
    first = normalised(one)
    assert first is not None
    assert first == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.org/a", "https://example.org/A"),
        ("https://example.org/a?page=1", "https://example.org/a?page=2"),
        ("https://example.org/article.php?sid=1", "https://example.org/article.php?sid=2"),
        ("https://example.org/#!/a", "https://example.org/#!/b"),
        ("https://example.org:8080/a", "https://example.org/a"),
        ("https://a.example.org/a", "https://example.org/a"),
        ("https://example.org/a%2Fb", "https://example.org/a/b"),
        ("https://example.org/x//y", "https://example.org/x/y"),
    ],
)
def test_urls_of_two_pages(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize(
    "url", [None, "", "no url", "https://[bad", "http://a:x/", "/a", "x" * 9_999]
)
def test_what_has_no_address(url: str | None) -> None:
    assert normalised(url) is None


_PART = st.text(st.sampled_from("aZ09-._~%/?&=#;: é[]@"), max_size=25)


@settings(deadline=None)
@given(_PART)
@example("/.[")
@example("/./..//a/../b/.")
def test_normalising_twice_is_normalising_once(rest: str) -> None:
    found = normalised(f"https://www.example.org/{rest}")
    if found is not None:
        assert normalised(f"http://{found.address}") == found


@pytest.mark.parametrize(
    ("declared", "believed"),
    [
        ("https://example.org/b", "example.org/b"),
        ("/b/", "example.org/b"),
        ("?id=7", "example.org/a/x?id=7"),
        ("https://other.org/b", None),
        ("https://example.org/", None),
        ("https://[bad", None),
        ("", None),
        (None, None),
    ],
)
def test_declared_addresses_are_of_the_same_site(
    declared: str | None, believed: str | None
) -> None:
    url = "https://www.example.org/a/x"
    found = canonical(normalised(url), url, declared)
    assert (found.address if found else None) == believed


def test_the_home_page_may_say_that_it_is() -> None:
    url = "https://example.org/?utm_source=mail"
    home = canonical(normalised(url), url, "https://example.org/")
    assert home is not None
    assert home.is_home


def _decided(
    pages: Sequence[tuple[str, str | None]],
    keep: Keep = "newest",
    fetched: Mapping[str, str] = {},
    dates: Mapping[str, str] = {},
    most: int = 10,
) -> dict[str, str]:
    """doc_ids that go and the one kept; pages are called a, b, c..."""
    rows = [
        {"doc_id": name, "url": url, "canonical_url": declared, "date": dates.get(name)}
        for name, (url, declared) in zip("abcdefghijklmnop", pages, strict=False)
    ]
    schema = pa.schema([(name, pa.string()) for name in rows[0]])
    table = addresses(pa.Table.from_pylist(rows, schema=schema))

    def times(ids: Sequence[str]) -> dict[str, str | None]:
        return {doc_id: fetched.get(doc_id) for doc_id in ids}

    found = duplicates(table.to_pylist(), most, keep, times).to_pylist()
    return {row["doc_id"]: row["kept_doc_id"] for row in found}


def test_one_page_of_each_address_stays() -> None:
    pages: list[tuple[str, str | None]] = [
        ("http://e.org/x?utm_medium=mail", None),
        ("http://e.org/x", None),
        ("http://e.org/print/x", "http://e.org/x"),
        ("http://e.org/y", None),
        ("no address", None),
        ("no address", None),
    ]
    # Of none it is known when it was got: the page got from the very address stays.
    assert _decided(pages) == {"b": "a", "c": "a"}
    got = {"a": "2024-01-01T00:00:00", "b": "2024-03-01T00:00:00", "c": "2024-02-01T00:00:00"}
    assert _decided(pages, "newest", got) == {"a": "b", "c": "b"}
    assert _decided(pages, "first", got) == {"b": "a", "c": "a"}
    # By its own date where nobody knows; what is unknown comes last.
    assert _decided(pages, "newest", dates={"c": "2024-01-01"}) == {"a": "c", "b": "c"}
    assert _decided(pages, "first", {"b": got["b"]}, {"c": "2024-01-01"}) == {"a": "b", "c": "b"}


def test_an_address_that_many_pages_declare_is_of_none_of_them() -> None:
    pages: list[tuple[str, str | None]] = [
        (f"http://e.org/{n}", "http://e.org/list") for n in range(5)
    ]
    assert len(_decided(pages, most=5)) == 4
    assert _decided(pages, most=4) == {}
    # Captures of one page are one page.
    again = [(f"http://e.org/1?utm_id={n}", "http://e.org/list") for n in range(5)]
    assert len(_decided(again, most=1)) == 4
