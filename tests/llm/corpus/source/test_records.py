import pytest

from llm.corpus.source.records import is_html, media_type, readable

PAGE = b"<!DOCTYPE html><title>x</title>"


@pytest.mark.parametrize(
    ("header", "kind", "charset"),
    [
        ("text/html", "text/html", None),
        ("Text/HTML; charset=UTF-8", "text/html", "utf-8"),
        ("text/html,text/html", "text/html", None),
        ("text/html, text/html; charset=koi8-r", "text/html", "koi8-r"),
        ("text/html;charset=utf-8,text/html", "text/html", "utf-8"),
        ("text/html charset='big5'", "text/html", "big5"),
        ('"text/html"', "text/html", None),
        ("application/xhtml+xml", "application/xhtml+xml", None),
        ("application/octet-stream", None, None),
        ("application/octet-stream; charset=gbk", None, "gbk"),
        ("*/*", None, None),
        ("html", None, None),
        ("; charset=utf-8", None, "utf-8"),
        ("", None, None),
        (None, None, None),
    ],
)
def test_a_content_type_is_read_leniently(
    header: str | None, kind: str | None, charset: str | None
) -> None:
    assert media_type(header) == (kind, charset)


def test_bytes_decide_where_no_type_is_known() -> None:
    assert is_html(None, PAGE)
    assert not is_html(None, b"%PDF-1.7")
    assert not is_html("image/png", PAGE)


def test_bytes_that_are_no_utf8_are_written_as_in_a_url() -> None:
    assert readable(b"http://x.org/caf\xe9/\xc3\xa9") == "http://x.org/caf%E9/é"
