"""Texts to ids in bulk: by the fastest encoder here that gives the ids of `tokenizers`.

fastokens encodes tens of times as fast (benchmarks/tokenizer.py), and is taken where it gives
equal ids on a fixed set of hostile texts, looked at when a tokenizer is first loaded on a machine:
what was found is kept in the user's cache folder, for this tokenizer and these versions alone.
Where it is not installed, cannot read the tokenizer, or gives one id that differs, `tokenizers`
does the work. So the ids are the same whichever of them ran, and no artifact's identity depends on
it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llm.cache_folder import cache_folder, keep
from llm.tokens import hostile_texts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ids = NDArray[np.int32]
Flat = tuple[Ids, NDArray[np.int64]]
Encode = Callable[[Sequence[str]], Flat]

_CORES = "FASTOKENS_BPE_THREADS"


class BulkEncoder:
    """Encodes texts. What a text spells out is text, never a special token, and nothing is put
    before or behind it.

    Args:
        folder: with `tokenizer.json`.

    Attributes:
        by: name and version of the library that encodes.
        refused: why it is not fastokens; empty where it is.
    """

    def __init__(self, folder: Path) -> None:
        self._record = (folder / "tokenizer.json").read_text(encoding="utf-8")
        self.by, self.refused = _chosen(self._record)

    def flat(self, texts: Sequence[str]) -> Flat:
        """The ids of all texts, int32 (tokens,), and where each text begins, int64 (texts + 1,)."""
        return _made(self._record, not self.refused)(texts)

    def ids(self, text: str) -> Ids:
        """int32 (tokens,)."""
        return self.flat([text])[0]


def plain_encoder(record: str) -> Encode:
    """`tokenizers` alone, from the text of a `tokenizer.json`."""
    from tokenizers import Tokenizer

    tokenizer: Tokenizer = Tokenizer.from_str(record)
    tokenizer.encode_special_tokens = True

    def encode(texts: Sequence[str]) -> Flat:
        # Batches of one: they skip the offsets and start no thread pool in a worker process.
        found = [
            np.array(tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids, np.int32)
            for text in texts
        ]
        offsets = np.zeros(len(found) + 1, np.int64)
        np.cumsum([len(ids) for ids in found], out=offsets[1:])
        return np.concatenate([np.empty(0, np.int32), *found]), offsets

    return encode


def fast_encoder(record: str) -> Encode:
    """fastokens alone, from the text of a `tokenizer.json`.

    Raises:
        ImportError: it is not installed.
        ValueError, RuntimeError: it cannot read the tokenizer.
    """
    # Workers are one a core already; the library reads this once, when it first encodes.
    os.environ.setdefault(_CORES, "1")
    import fastokens

    tokenizer: Any = fastokens.Tokenizer.from_json_str(without_special_tokens(record))

    def encode(texts: Sequence[str]) -> Flat:
        ids, offsets = tokenizer.encode_batch_flat(list(texts))
        return np.frombuffer(ids, "<i4"), np.frombuffer(offsets, "<i8")

    return encode


def without_special_tokens(record: str) -> str:
    """A `tokenizer.json` whose special tokens are ordinary entries of the vocabulary, which no
    merge makes: texts that spell them out are texts."""
    rules = json.loads(record)
    rules["added_tokens"] = [token for token in rules["added_tokens"] if not token["special"]]
    rules["post_processor"] = None
    return json.dumps(rules)


def first_difference(one: Encode, other: Encode, texts: list[str]) -> str | None:
    """The first text that two encoders do not encode alike."""
    (ids, offsets), (other_ids, other_offsets) = one(texts), other(texts)
    if np.array_equal(offsets, other_offsets) and np.array_equal(ids, other_ids):
        return None
    for place, text in enumerate(texts):
        mine = ids[offsets[place] : offsets[place + 1]]
        if not np.array_equal(mine, other_ids[other_offsets[place] : other_offsets[place + 1]]):
            return text
    return texts[-1]


@lru_cache(maxsize=2)
def _made(record: str, fast: bool) -> Encode:
    return fast_encoder(record) if fast else plain_encoder(record)


@lru_cache(maxsize=2)
def _chosen(record: str) -> tuple[str, str]:
    """The library that encodes, and why it is not the fast one."""
    from importlib.metadata import version  # not before: to know the stages is to import this file

    slow = f"tokenizers {version('tokenizers')}"
    try:
        import fastokens  # noqa: F401

        fast = f"fastokens {version('fastokens')}"
    except ImportError:
        return slow, "fastokens is not installed"
    refused = _refused(record, (slow, fast))
    return (slow, f"{fast} {refused}") if refused else (fast, "")


def _refused(record: str, libraries: Sequence[str]) -> str:
    """Why the fast encoder is not to be used, "" = it may be: as it was found before, else by a
    trial."""
    digest = hashlib.sha256(platform.machine().encode())
    for part in (record, *libraries):
        digest.update(hashlib.sha256(part.encode("utf-8", "surrogatepass")).digest())
    for file in (__file__, hostile_texts.__file__):
        digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
    folder, name = cache_folder() / "encoders", digest.hexdigest()
    try:
        known = json.loads((folder / f"trial-{name}").read_bytes())["refused"]
    except (OSError, ValueError, KeyError, TypeError):  # not there, or not whole
        pass
    else:
        if isinstance(known, str):
            return known
    refused = _tried(record)
    keep(folder, "trial", name, json.dumps({"refused": refused}).encode())
    return refused


def _tried(record: str) -> str:
    try:
        fast = fast_encoder(record)
        specials = [token["content"] for token in json.loads(record)["added_tokens"]]
        texts = hostile_texts.hostile_texts(specials)
        differs = first_difference(plain_encoder(record), fast, texts)
    except (ValueError, RuntimeError) as error:
        return f"cannot use this tokenizer: {error}"
    return "" if differs is None else f"gives other ids for {differs!r}"
