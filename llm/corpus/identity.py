"""The identity of a document: what it is, never where it stood."""

from __future__ import annotations

import xxhash


def doc_id(source: str, url: str, payload: bytes) -> str:
    """Hex xxh3-128 (32 characters) over source name, URL and payload.

    Each field is preceded by its length in bytes (8 bytes, little endian), so that no two
    different triples give the same input to the hash. Equal triples are the same document.
    """
    state = xxhash.xxh3_128()
    for value in (_utf8(source), _utf8(url), payload):
        state.update(len(value).to_bytes(8, "little"))
        state.update(value)
    return state.hexdigest()


def content_url(payload: bytes) -> str:
    """A name for a record that has no URL, made of its bytes: it survives reordering."""
    return f"urn:xxh3:{xxhash.xxh3_128_hexdigest(payload)}"


def _utf8(text: str) -> bytes:
    # Headers of real crawls hold lone surrogates where bytes were not UTF-8.
    return text.encode("utf-8", "surrogatepass")
