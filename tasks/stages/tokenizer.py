"""tokenizer: a byte-level BPE vocabulary learned from a sample of the training documents."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from llm.process.child import ChildFailedError
from llm.process.guarded import LostDocument, guarded, seconds_for
from llm.rows import bytes_of, is_equal, rows_among
from llm.sha256 import sha256_file
from llm.tables import DOC_ID, REJECTED, REMOVED, TRAIN
from llm.tokens.bpe import BpeSettings, CorpusTooSmallError
from llm.tokens.cut_sentence import cut, first_sentence
from llm.tokens.fertility import Fertility
from llm.tokens.given import take
from llm.tokens.hf_folder import FILES
from llm.tokens.sample import sample
from llm.tokens.text_file import write_texts
from llm.tokens.token_bytes import token_bytes
from tasks.engine.config import StageConfig, added, execution
from tasks.engine.declare import Conservation, Input, Output, Requirement
from tasks.engine.errors import IngotError
from tasks.engine.identity.snapshot import Snapshot, snapshot_files
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Data, Inputs
from tasks.stages.tokenizer_panels import panels

SAMPLED = pa.schema(
    [DOC_ID, pa.field("source", pa.string()), pa.field("bytes", pa.int64(), nullable=False)]
)
FERTILITY = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("characters", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("words", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("tokens_per_word", pa.float64()),
        pa.field("bytes_per_token", pa.float64()),
    ]
)
_LONGEST_SHOWN = 40
_GIVEN = "given"
_MIN_SECONDS = 600.0  # that training may take, whatever the sample


class UnusableCorpusError(IngotError):
    """No tokenizer can be trained on the documents there are."""


class TokenizerConfig(StageConfig):
    """How the vocabulary is learned."""

    vocabulary_size: int = Field(
        32_768,
        description="Tokens in all, special ones included. A small corpus may give fewer.",
        ge=384,
        le=1_048_576,
        multiple_of=128,
    )
    sample_bytes: int = Field(
        200_000_000,
        description="Bytes of training text learned from: whole documents, chosen by hash.",
        ge=1_000,
        le=100_000_000_000,
    )
    fertility_bytes: int = Field(
        4_000_000,
        description="Bytes of each source and split the fertility is measured on.",
        ge=1_000,
        le=10_000_000_000,
    )
    min_frequency: int = Field(
        2, description="A pair that occurs less often is not merged.", ge=1, le=1_000_000
    )
    longest_token: int = Field(
        32,
        description="Longest learned token, in bytes; keeps separator lines and keys out.",
        ge=2,
        le=256,
    )
    seed: int = Field(0, description="Random seed of the choice of documents.", ge=0, le=2**31 - 1)
    sources: list[str] = added(
        [],
        "Sources learned from, so that one that comes later leaves the vocabulary as it is; none = "
        "all.",
    )
    digits: Literal["single", "triple"] = added(
        "single",
        "How many digits a token may have: one (Qwen2), or up to three (Llama 3), which takes "
        "fewer tokens where there are many numbers.",
    )

    from_folder: str = execution(
        "",
        "Take the tokenizer of this folder (its tokenizer.json) instead of learning one; it needs "
        "the special token <|endoftext|>. Those for chats are added where it lacks them.",
    )

    @property
    def learned_bytes(self) -> int:
        """Bytes that a token has at most; 0 where one is taken that may have longer ones."""
        return 0 if self.from_folder else self.longest_token


def externals(config: TokenizerConfig) -> Mapping[str, Snapshot]:
    """The tokenizer that is taken, if one is."""
    if not config.from_folder:
        return {}
    path = Path(config.from_folder) / FILES[0]
    return {_GIVEN: snapshot_files([str(path)], "tokenizer.from_folder")}


def _sources_exist(config: TokenizerConfig, sources: Sequence[str]) -> Iterator[str]:
    for place, name in enumerate(config.sources):
        if name not in sources:
            yield (
                f"tokenizer.sources.{place}: {name!r} is none of source.sources, which are "
                f"{', '.join(sources)}"
            )


def run(config: TokenizerConfig, inputs: Inputs, out: Out) -> None:
    """Choose the sample, train on it, measure.

    Raises:
        UnusableCorpusError: no training document fits the sample, or it gives too few merges.
        GivenTokenizerError: what is to be taken is no tokenizer, or lacks a token.
    """
    index, folder = _index(inputs["documents"]), out.folder("tokenizer")
    given = inputs.external.get(_GIVEN)
    sampled = _sample(config, index, out, learned=given is None)
    if given is not None:
        size = take(Path(given.items[0].path), folder)
        out.log(f"takes the tokenizer of {config.from_folder}, of {size} tokens")
    else:
        out.log(f"learning from {sampled.num_rows} of {index.num_rows} documents")
        size = _train(config, inputs["documents"], sampled, folder, out)
        if size < config.vocabulary_size:
            out.log(
                f"the sample gives {size} tokens, {config.vocabulary_size} were asked for "
                "(tokenizer.vocabulary_size); the vocabulary has what it gives"
            )
    out.fact("sha256", sha256_file(folder / "tokenizer.json"))
    out.fact("vocabulary_size", size)
    out.fact("vocabulary_size_asked", config.vocabulary_size if given is None else None)
    out.fact("sampled_bytes", sum(sampled.column("bytes").to_pylist()))
    out.fact("longest_tokens", _longest(folder / "tokenizer.json"))
    out.fact("sentence", sentence := _sentence(inputs["documents"], index))
    out.fact("sentence_tokens", cut(sentence, folder))
    _measure(config, inputs["documents"], index, out)


def _sentence(documents: Data, index: pa.Table) -> str:
    """One of the training document whose doc_id is the smallest of those with a text."""
    with_text = index.filter(is_equal(index.column("split"), TRAIN))
    for row in with_text.select(["doc_id", "bytes"]).to_pylist():
        if row["bytes"]:
            for part in documents.parts:
                if rows_among(documents.part_table(part, ["doc_id"]), [row["doc_id"]]).num_rows:
                    table = documents.part_table(part, ["doc_id", "text"])
                    text: str = rows_among(table, [row["doc_id"]]).column("text")[0].as_py()
                    return first_sentence(text)
    return ""


def _index(documents: Data) -> pa.Table:
    """doc_id, split, source and bytes (0 without a text) of every document, by doc_id."""
    columns = ["doc_id", "split", "source", "text"]
    kept = []
    for table in documents.tables(columns):
        size = bytes_of(table.column("text")).cast(pa.int64())
        kept.append(table.drop_columns(["text"]).append_column("bytes", size))
    if not kept:
        raise UnusableCorpusError("tokenizer: there are no documents; look at the stages before")
    index = pa.concat_tables(kept).sort_by("doc_id")
    source = index.column("source").fill_null("")
    return index.set_column(index.schema.get_field_index("source"), "source", source)


def _sample(config: TokenizerConfig, index: pa.Table, out: Out, learned: bool) -> pa.Table:
    """The rows of `SAMPLED`; writes them, and every other document as removed or rejected.

    Args:
        learned: whether a tokenizer is learned; otherwise no document is sampled.
    """
    index, empty = _divide(index, index.column("bytes").to_numpy() > 0)
    with out.table("rejected") as rejected:
        rejected.write(_reasons(empty, "no_text", REJECTED))
    index, other = _divide(index, is_equal(index.column("split"), TRAIN).to_numpy())
    named = np.array(
        [not config.sources or name in config.sources for name in _names(index)], np.bool_
    )
    index, foreign = _divide(index, named)
    ids, sizes = index.column("doc_id").to_pylist(), index.column("bytes").to_numpy()
    if learned:
        taken = sample(ids, sizes, config.sample_bytes, config.seed, "tokenizer")
    else:
        taken = np.zeros(index.num_rows, np.bool_)
    chosen, beyond = _divide(index, taken)
    with out.table("unsampled") as unsampled:
        unsampled.write(_reasons(other, "not_train", REMOVED))
        unsampled.write(_reasons(foreign, "other_source", REMOVED))
        unsampled.write(_reasons(beyond, "sample_full" if learned else "given", REMOVED))
    if learned and not chosen.num_rows:
        raise UnusableCorpusError(
            f"tokenizer: none of {index.num_rows} training documents with a text fits into "
            f"sample_bytes = {config.sample_bytes}; raise it, or look at tokenizer.sources and at "
            "the stages before"
        )
    chosen = chosen.select(SAMPLED.names)
    with out.table("sampled") as sampled:
        sampled.write(chosen)
    return chosen


def _names(index: pa.Table) -> list[str]:
    """Source of each row."""
    names: list[str] = index.column("source").to_pylist()
    return names


def _divide(rows: pa.Table, chosen: NDArray[np.bool_]) -> tuple[pa.Table, pa.Table]:
    """The rows that are chosen, and the others."""
    return rows.filter(pa.array(chosen)), rows.filter(pa.array(~chosen))


def _reasons(rows: pa.Table, reason: str, schema: pa.Schema) -> pa.Table:
    """Rows of `REMOVED` or `REJECTED`; the value is the size, the detail the split."""
    columns = {
        "doc_id": rows.column("doc_id"),
        "reason": pa.array([reason] * rows.num_rows, pa.string()),
        "value": rows.column("bytes").cast(pa.float64()),
        "threshold": pa.nulls(rows.num_rows, pa.float64()),
        "detail": rows.column("split"),
    }
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _train(
    config: TokenizerConfig, documents: Data, chosen: pa.Table, folder: Path, out: Out
) -> int:
    """Train on the texts of the chosen documents into `folder`; the size of the vocabulary."""
    settings = BpeSettings(
        config.vocabulary_size, config.min_frequency, config.longest_token, config.digits
    )
    path = out.scratch / "texts.arrow"
    try:
        size = write_texts(_texts(documents, chosen), path)
        seconds = _MIN_SECONDS + seconds_for(size)
        trained: int = out.alone(
            "llm.tokens.bpe:train_folder", path, settings, folder, seconds=seconds
        )
    except ChildFailedError as error:
        if error.type_name == CorpusTooSmallError.__name__:
            raise UnusableCorpusError(f"tokenizer: {error.message}") from error
        raise
    finally:
        path.unlink(missing_ok=True)
    return trained


def _texts(documents: Data, chosen: pa.Table) -> Iterator[pa.Table]:
    """The chosen documents part by part; the vocabulary does not depend on their order."""
    wanted = set(chosen.column("doc_id").to_pylist())
    for table in documents.tables(["doc_id", "text"]):
        yield rows_among(table, wanted)


def _measure(config: TokenizerConfig, documents: Data, index: pa.Table, out: Out) -> None:
    """Write the fertility on a sample of every source and split; reads the documents once."""
    folder = str(out.folder("tokenizer"))
    wanted = _measure_fertility(config, index)
    found: dict[tuple[str, str], Fertility] = {}
    lost: list[str] = []
    for done, table in enumerate(documents.tables(["doc_id", "source", "split", "text"])):
        chosen = rows_among(table, wanted)
        for counted in guarded("llm.tokens.fertility:by_group", (folder,), [chosen]):
            if isinstance(counted, LostDocument):
                out.log(f"fertility is measured without {counted.doc_id}: {counted.detail}")
                lost.append(counted.doc_id)
                continue
            for group, some in counted.items():
                found[group] = found[group] + some if group in found else some
        out.progress(done + 1, len(documents.parts), "part")
    if lost:  # they are accounted for as sampled or unsampled all the same
        out.fact("not_measured", lost)
    rows = [
        {
            "source": source,
            "split": split,
            "documents": counted.documents,
            "characters": counted.characters,
            "bytes": counted.size,
            "words": counted.words,
            "tokens": counted.tokens,
            "tokens_per_word": counted.tokens_per_word,
            "bytes_per_token": counted.bytes_per_token,
        }
        for (source, split), counted in sorted(found.items())
    ]
    with out.table("fertility") as writer:
        writer.write(pa.Table.from_pylist(rows, schema=FERTILITY))


def _measure_fertility(config: TokenizerConfig, index: pa.Table) -> Set[str]:
    """doc_ids of a sample of each source and split."""
    index, _ = _divide(index, index.column("bytes").to_numpy() > 0)
    groups: dict[tuple[str, str], list[int]] = {}
    columns = (index.column(name).to_pylist() for name in ("source", "split"))
    for place, group in enumerate(zip(*columns, strict=True)):
        groups.setdefault(group, []).append(place)
    taken: set[str] = set()
    for places in groups.values():
        rows = index.take(places)
        ids, sizes = rows.column("doc_id").to_pylist(), rows.column("bytes").to_numpy()
        mask = sample(ids, sizes, config.fertility_bytes, config.seed, "fertility")
        taken.update(itertools.compress(ids, mask))
    return taken


def _longest(path: Path) -> list[str]:
    """The longest learned tokens that are whole characters, as text."""
    pieces = sorted(token_bytes(path), key=lambda piece: (-len(piece), piece))
    return [piece.decode("utf-8", "backslashreplace") for piece in pieces[:_LONGEST_SHOWN]]


STAGE = Stage(
    name="tokenizer",
    version=2,
    description="Byte-level BPE learned from the training documents, with a chat template.",
    config=TokenizerConfig,
    inputs={
        "documents": Input(
            ("decontaminate.documents", "dedup.documents"), "Documents with their split."
        )
    },
    outputs={
        "tokenizer": Output("tokenizer.json and the files transformers loads it with."),
        "fertility": Output("Tokens per word and bytes per token, by source and split.", FERTILITY),
        "sampled": Output("The documents learned from.", SAMPLED, unique_ids=True),
        "unsampled": Output("Documents not learned from, and why.", REMOVED, unique_ids=True),
        "rejected": Output("Documents without a text.", REJECTED, unique_ids=True),
    },
    run=run,
    panels=panels,
    learned=True,
    externals=externals,
    conservation=Conservation(
        "documents", kept="sampled", removed="unsampled", rejected="rejected"
    ),
    requires=(Requirement(("source.names",), _sources_exist),),
    libraries=("tokenizers", "numpy", "pyarrow", "xxhash"),
    code=("llm.tokens.bpe", "llm.tokens.fertility"),
)
