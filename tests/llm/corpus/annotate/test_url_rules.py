"""URL facts on known addresses."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from llm.corpus.annotate.url_rules import BlockListError, BlockLists, read_block_lists, url_facts

NONE = BlockLists(frozenset(), {})


@pytest.fixture
def lists(tmp_path: Path) -> BlockLists:
    (tmp_path / "domains").write_text("# bad\nbad.example\n\nOTHER.org.\n")
    (tmp_path / "words").write_text("casino\nfree money\n")
    return read_block_lists([tmp_path / "domains"], [tmp_path / "words"])


def test_shape_of_an_address() -> None:
    found = url_facts("https://user:pw@My-Own-Site.Example.COM.:8080/2024/a-b?q=7", NONE)
    assert found.url_host == "my-own-site.example.com"
    assert found.url_hyphens == 2
    assert found.url_digits == 9
    assert not found.url_is_ip


@pytest.mark.parametrize("url", ["http://10.0.0.1/x", "https://[2001:db8::1]:443/"])
def test_ip_hosts(url: str) -> None:
    assert url_facts(url, NONE).url_is_ip


@pytest.mark.parametrize("url", ["http://[broken/", "no address", "mailto:a@b.c", ""])
def test_no_host(url: str) -> None:
    assert url_facts(url, NONE).url_host is None


@pytest.mark.parametrize(
    ("host", "hit"),
    [("bad.example", True), ("a.b.bad.example", True), ("notbad.example", False),
     ("example", False), ("www.other.org", True)],
)  # fmt: skip
def test_domains_cover_subdomains(lists: BlockLists, host: str, hit: bool) -> None:
    assert url_facts(f"https://{host}/x", lists).url_blocked_domain is hit


@pytest.mark.parametrize(
    ("path", "hits"),
    [("best-casino/Casino_1", 2), ("casinos", 0), ("free-money", 1), ("free/x/money", 0),
     ("get%20FREE%20money%20casino", 2)],
)  # fmt: skip
def test_words_match_whole_words_of_the_address(lists: BlockLists, path: str, hits: int) -> None:
    assert url_facts(f"https://example.com/{path}", lists).url_blocked_words == hits


def test_a_list_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BlockListError, match=r"list\.bin"):
        read_block_lists([tmp_path / "list.bin"], [])


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_lists_may_be_compressed(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "list"
    path.write_bytes(pack("\ufeff# many\nBad.example.\r\n\nother.org".encode()))
    assert read_block_lists([path], []).domains == {"bad.example", "other.org"}
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(BlockListError, match=r"list: .* at byte 0; get the whole file"):
        read_block_lists([path], [])


@given(st.text())
def test_any_string_is_accepted(url: str) -> None:
    assert url_facts(url, NONE).url_length == len(url)
