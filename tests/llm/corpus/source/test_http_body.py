import gzip
import io
import zlib

import pytest
import zstandard
from fastwarc.stream_io import BrotliWriter
from hypothesis import given
from hypothesis import strategies as st

from llm.corpus.source.http_body import BodyError, decoded_body

TEXT = "<html><body>Zwölf Boxkämpfer</body></html>".encode() * 50
LIMIT = 1_000_000


def chunked(data: bytes, size: int) -> bytes:
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def brotli(data: bytes) -> bytes:
    buffer = io.BytesIO()
    writer = BrotliWriter(buffer)
    writer.write(data)
    writer.close()
    return buffer.getvalue()


def raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli,
    "zstd": zstandard.ZstdCompressor().compress,
    "identity": bytes,
}


@pytest.mark.parametrize("coding", ENCODERS)
@pytest.mark.parametrize("transfer", [None, "chunked"])
def test_encodings_are_undone(coding: str, transfer: str | None) -> None:
    body = ENCODERS[coding](TEXT)
    if transfer:
        body = chunked(body, 100)
    assert decoded_body(body, transfer, coding, LIMIT) == TEXT


def test_raw_deflate_and_stacked_codings() -> None:
    assert decoded_body(raw_deflate(TEXT), None, "deflate", LIMIT) == TEXT
    assert decoded_body(gzip.compress(brotli(TEXT)), None, "br, gzip", LIMIT) == TEXT


@given(st.binary(max_size=2000), st.integers(1, 300))
def test_chunks_round_trip(data: bytes, size: int) -> None:
    assert decoded_body(chunked(data, size), "chunked", None, LIMIT) == data


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "sdch", "compress"])
def test_a_body_already_decoded_is_taken_as_it_is(coding: str) -> None:
    assert decoded_body(TEXT, "chunked", coding, LIMIT) == TEXT


@pytest.mark.parametrize(
    ("body", "transfer", "content", "reason"),
    [
        (chunked(TEXT, 100)[:500], "chunked", None, "bad_chunking"),
        (b"5\r\nhello\r\nzz\r\n", "chunked", None, "bad_chunking"),
        (gzip.compress(TEXT)[:-9], None, "gzip", "bad_content_encoding"),
        (zlib.compress(TEXT)[:20], None, "deflate", "bad_content_encoding"),
        (b"\x1f\x8bnot gzip", None, "gzip", "bad_content_encoding"),
        (b"a dictionary, then " + TEXT, None, "sdch", "unknown_content_encoding"),
        (b"a dictionary, then " + TEXT, None, "gzip, sdch", "unknown_content_encoding"),
        (gzip.compress(bytes(LIMIT * 2)), None, "gzip", "too_large"),
        (zstandard.compress(bytes(LIMIT * 2)), None, "zstd", "too_large"),
        (bytes(LIMIT + 1), None, None, "too_large"),
    ],
)
def test_what_breaks_off_is_an_error_with_a_reason(
    body: bytes, transfer: str | None, content: str | None, reason: str
) -> None:
    with pytest.raises(BodyError) as caught:
        decoded_body(body, transfer, content, LIMIT)
    assert caught.value.reason == reason


def test_a_zstd_body_that_is_cut_off() -> None:
    whole = zstandard.compress(TEXT * 40)
    assert decoded_body(whole + whole, None, "zstd", LIMIT) == TEXT * 80
    with pytest.raises(BodyError, match="cut off") as caught:
        decoded_body(whole[: len(whole) // 2], None, "zstd", LIMIT)
    assert caught.value.reason == "bad_content_encoding"


@pytest.mark.parametrize("coding", ["br", "deflate"])
@pytest.mark.parametrize("before", [b"\n", b"\xef\xbb\xbf", b" \r\n\t"])
def test_markup_whose_encoding_was_undone_may_begin_with_space(coding: str, before: bytes) -> None:
    assert decoded_body(before + TEXT, None, coding, LIMIT) == before + TEXT


@pytest.mark.parametrize(
    "coding",
    ["8bit", "7bit", "binary", "UTF-8", "none", "", "8bit, 8bit", '"identity"', "gzip;q=1"],
)
def test_what_names_no_coding_changes_nothing(coding: str) -> None:
    for body in (TEXT, b"no markup here"):
        assert decoded_body(body, None, coding, LIMIT) == body


@pytest.mark.parametrize("transfer", ["gzip, chunked", "Gzip,Chunked", "x-gzip , chunked;q=1"])
def test_codings_of_the_transfer_are_undone_too(transfer: str) -> None:
    assert decoded_body(chunked(gzip.compress(TEXT), 100), transfer, None, LIMIT) == TEXT
    twice = chunked(gzip.compress(brotli(TEXT)), 100)
    assert decoded_body(twice, transfer, "br", LIMIT) == TEXT
    assert decoded_body(TEXT, "close", None, LIMIT) == TEXT
