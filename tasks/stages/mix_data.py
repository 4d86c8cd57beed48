"""What `mix` reads: the rows of each source to train on, and documents of each to measure on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from llm.rows import rows_with
from llm.tables import TRAIN, VALIDATION
from tasks.engine.errors import IngotError
from tasks.engine.store.artifact import Data

HELD_OUT = pa.schema(
    [
        pa.field("domain", pa.string(), nullable=False),
        pa.field("tokens", pa.list_(pa.int32()), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
    ]
)


class UnmixableError(IngotError):
    """The text there is, or the config, makes no search for a mixture; names the field."""


@dataclass
class SourceRows:
    """Train rows of a source.

    Attributes:
        tokens: what they hold, padding included, as the trainer counts.
        digest: of the rows, in order.
    """

    tokens: int = 0
    digest: str = ""


@dataclass
class HeldOut:
    """Held-out documents of a source.

    Attributes:
        documents: tokens of each, without the end of text; sizes: its bytes.
    """

    documents: list[list[int]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    @property
    def arrays(self) -> list[NDArray[np.int32]]:
        """int32 (tokens,) a document."""
        return [np.array(tokens, dtype=np.int32) for tokens in self.documents]

    @property
    def digest(self) -> str:
        """Of what is measured on."""
        found = hashlib.sha256()
        for tokens, size in zip(self.documents, self.sizes, strict=True):
            found.update(f"{size} {tokens}\n".encode())
        return found.hexdigest()


def source_rows(sequences: Data) -> dict[str, SourceRows]:
    """By source, those that have train rows.

    Raises:
        UnmixableError: the rows do not say which source they are of, or there are fewer than two.
    """
    if (
        not sequences.parts
        or "source" not in pq.read_schema(sequences.path(sequences.parts[0])).names
    ):
        raise UnmixableError(
            "mix: the sequences do not say which source they are of; set pack.by_source=true"
        )
    found: dict[str, SourceRows] = {}
    digests: dict[str, hashlib._Hash] = {}
    for table in sequences.tables(columns=["split", "source", "tokens"]):
        train = rows_with(table, "split", TRAIN)
        for name in train.column("source").unique().to_pylist():
            # A filter makes arrays that begin at 0, so that their memory is the rows alone.
            tokens = rows_with(train, "source", name).column("tokens").combine_chunks()
            rows = found.setdefault(name, SourceRows())
            width = len(tokens.flatten()) // len(tokens)
            rows.tokens += len(tokens) * (width - 1)
            digest = digests.setdefault(name, hashlib.sha256(f"{width}\n".encode()))
            digest.update(tokens.flatten().to_numpy().tobytes())
    for name, digest in digests.items():
        found[name].digest = digest.hexdigest()
    if len(found) < 2:
        raise UnmixableError(
            f"mix: all train rows are of one source ({', '.join(found) or 'none'}), and a mixture "
            "needs two; add one to source.sources, or remove the section mix"
        )
    return {name: found[name] for name in sorted(found)}


def held_out(tokens: Data, sources: list[str], wanted: int) -> dict[str, HeldOut]:
    """Of each source the first validation documents by doc_id, of `wanted` bytes together or more.

    Raises:
        UnmixableError: a source has fewer.
    """
    held = [rows_with(table, "split", VALIDATION) for table in tokens.tables()]
    documents = pa.concat_tables(held).sort_by("doc_id") if held else None
    found = {}
    for name in sources:
        own = found[name] = HeldOut()
        for row in rows_with(documents, "source", name).to_pylist() if documents else []:
            if sum(own.sizes) >= wanted:
                break
            own.documents.append(row["tokens"][:-1])
            own.sizes.append(row["bytes"])
        if sum(own.sizes) < wanted:
            raise UnmixableError(
                f"mix.held_out_bytes: {wanted:,} bytes of each source are to be held out, and the "
                f"validation documents of {name!r} have {sum(own.sizes):,}; lower it, or raise "
                "dedup.validation_fraction"
            )
    return found


def write_held_out(found: Mapping[str, HeldOut], path: Path) -> None:
    """The file that proxies are measured on."""
    rows = [
        {"domain": name, "tokens": tokens, "bytes": size}
        for name, own in found.items()
        for tokens, size in zip(own.documents, own.sizes, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=HELD_OUT), path)
