import gzip
from pathlib import Path

import pytest

from llm.corpus.source.files import (
    UndecodableError,
    decoded_text,
    file_url,
    read_html_file,
    read_text_file,
)
from llm.corpus.source.records import Page, Rejected

GERMAN = "Die Straße führt über die Brücke, und die Bäume blühen schön im März. " * 20
RUSSIAN = "Широкая электрификация южных губерний даст мощный толчок подъёму хозяйства. " * 20
JAPANESE = "日本語の文章です。文字コードを自動で判別できるかどうかを確認します。" * 20


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "utf-8"),
        (GERMAN, "utf-8-sig"),
        (GERMAN, "utf-16"),
        (GERMAN, "windows-1252"),
        (RUSSIAN, "windows-1251"),
        (RUSSIAN, "koi8-r"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc-jp"),
    ],
)
def test_the_encoding_is_found(text: str, encoding: str) -> None:
    assert decoded_text(text.encode(encoding)) == text


def test_binary_is_no_text(tmp_path: Path) -> None:
    data = bytes(range(256)) * 20
    with pytest.raises(UndecodableError):
        decoded_text(data)
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    (row,) = read_text_file(path, "a.txt", "file:///s/a.txt", 99_999)
    assert isinstance(row, Rejected)
    assert row.reason == "undecodable"
    assert row.detail.startswith("a.txt: ")


def test_text_is_stored_as_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(RUSSIAN.encode("windows-1251")))
    (page,) = read_text_file(path, "a.txt.gz", file_url("s", "a.txt.gz"), 99_999)
    assert isinstance(page, Page)
    assert page.payload.decode() == RUSSIAN
    assert (page.content_type, page.charset) == ("text/plain", "utf-8")


def test_html_is_stored_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ä b.html"
    payload = '<meta charset="windows-1252"><p>Stra\u00dfe'.encode("windows-1252")
    path.write_bytes(payload)
    (page,) = read_html_file(path, "sub/ä b.html", file_url("s", "sub/ä b.html"), 99_999)
    assert isinstance(page, Page)
    assert page.payload == payload
    assert page.url == "file:///s/sub/%C3%A4%20b.html"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b" \n", "empty_body"),
        (b"x" * 1001, "too_large"),
        (gzip.compress(b"hello" * 10)[:-12], "truncated_file"),
    ],
)
def test_what_is_no_page_says_why(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    (row,) = read_text_file(path, "a.txt", "file:///s/a.txt", 1000)
    assert not isinstance(row, Page)
    assert row.reason == reason


@pytest.mark.parametrize("text", [GERMAN, "L’été dernier, le café coûtait déjà cher. " * 20])
def test_one_stray_byte_costs_one_character(text: str) -> None:
    data = text.encode()
    assert decoded_text(data + b"\xff " + data) == text + "\ufffd " + text
