import hashlib
import subprocess
import sys

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from llm.corpus.identity import content_url, doc_id


def test_hash_is_over_length_prefixed_fields() -> None:
    fields = (b"web", "https://example.org/ä".encode(), b"<p>x</p>")
    joined = b"".join(len(f).to_bytes(8, "little") + f for f in fields)
    expected = xxhash.xxh3_128_hexdigest(joined)
    assert doc_id("web", "https://example.org/ä", b"<p>x</p>") == expected
    assert len(expected) == 32


@pytest.mark.parametrize(
    "other", [("ab", "c", b"d"), ("a", "bc", b"d"), ("a", "b", b"cd"), ("", "ab", b"cd")]
)
def test_moving_bytes_between_fields_changes_the_id(other: tuple[str, str, bytes]) -> None:
    others = {("ab", "c", b"d"), ("a", "bc", b"d"), ("a", "b", b"cd"), ("", "ab", b"cd")} - {other}
    assert doc_id(*other) not in {doc_id(*triple) for triple in others}


@given(st.text(), st.text(), st.binary(), st.text(), st.text(), st.binary())
def test_equal_ids_mean_equal_triples(a: str, b: str, c: bytes, d: str, e: str, f: bytes) -> None:
    assert (doc_id(a, b, c) == doc_id(d, e, f)) == ((a, b, c) == (d, e, f))


@given(st.text(alphabet=st.characters(categories=["Cs", "L"])))
def test_lone_surrogates_have_an_id(url: str) -> None:
    assert len(doc_id("s", url, b"")) == 32


def test_same_in_another_process_whatever_the_hash_seed() -> None:
    code = "from llm.corpus.identity import doc_id; print(doc_id('s', 'u', b'p'))"
    for seed in ("0", "7"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == doc_id("s", "u", b"p")


def test_content_url_names_the_bytes() -> None:
    assert content_url(b"a") == content_url(b"a") != content_url(hashlib.sha256(b"a").digest())
