import gzip
import random
from pathlib import Path

import lz4.frame
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm.corpus.source.streams import DamagedStreamError, chunks, lines, whole


def _long_window(data: bytes) -> bytes:
    """As `zstd --long=31` writes."""
    parameters = zstandard.ZstdCompressionParameters(window_log=31, enable_ldm=True)
    engine = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return engine.compress(data) + engine.flush()


PACKERS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "members": lambda data: b"".join(
        gzip.compress(data[i : i + 7]) for i in range(0, len(data), 7)
    ),
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4.frame.compress,
    "long window": lambda data: _long_window(data),
    "skippable first": lambda data: b"\x50\x2a\x4d\x18\x04\0\0\0size" + zstandard.compress(data),
    "frames": lambda data: zstandard.compress(data[:5]) + zstandard.compress(data[5:]),
}
TEXT = b"first line\n\nthird\r\nlast without an end"


@pytest.mark.parametrize("packer", PACKERS)
def test_whatever_the_packing_the_bytes_are_the_same(tmp_path: Path, packer: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(PACKERS[packer](TEXT))
    assert b"".join(chunks(path)) == TEXT
    assert whole(path, len(TEXT)) == TEXT
    assert whole(path, len(TEXT) - 1) is None
    assert [line for _, line, _ in lines(path, 99)] == TEXT.split(b"\n")


@given(st.lists(st.binary(max_size=30)), st.integers(1, 20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lines_are_numbered_cut_and_measured(
    tmp_path: Path, parts: list[bytes], limit: int
) -> None:
    data = b"\n".join(parts)
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(data, mtime=0))
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    found = list(lines(path, limit))
    assert [number for number, _, _ in found] == list(range(1, len(expected) + 1))
    assert [line for _, line, _ in found] == [line[:limit] for line in expected]
    assert [length for _, _, length in found] == [len(line) for line in expected]


def test_zero_padding_between_members_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(b"a") + bytes(100) + gzip.compress(b"b") + bytes(9))
    assert whole(path, 99) == b"ab"


@pytest.mark.parametrize("packer", ["gzip", "zstd"])
def test_a_cut_hands_out_what_is_before_it(tmp_path: Path, packer: str) -> None:
    data = random.Random(1).randbytes(600_000)
    packed = PACKERS[packer](data)
    path = tmp_path / "x"
    path.write_bytes(packed[:400_000])
    got = bytearray()

    def drain() -> None:
        for chunk in chunks(path):
            got.extend(chunk)

    with pytest.raises(DamagedStreamError) as caught:
        drain()
    assert caught.value.cut
    assert caught.value.offset == 0
    assert len(got) > 250_000
    assert data.startswith(got)


def test_the_offset_names_the_broken_member(tmp_path: Path) -> None:
    first, second = gzip.compress(b"a" * 999), bytearray(gzip.compress(b"b" * 999))
    second[12] ^= 0xFF
    path = tmp_path / "x"
    path.write_bytes(first + bytes(second))
    with pytest.raises(DamagedStreamError, match=f"at byte {len(first)}") as caught:
        whole(path, 10_000)
    assert not caught.value.cut
