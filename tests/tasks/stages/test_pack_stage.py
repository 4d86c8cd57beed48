"""pack through the engine: every token once, the mixture, the order, what is refused."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer

from llm.tokens.token_file import build
from tasks.panels.panels import Histogram, Table
from tasks.stages.pack import PackConfig, UnpackableError, Weight
from tasks.stages.pack_panels import panels
from tasks.stages.tokenizer import TokenizerConfig
from tests.llm.tokens.small_tokenizer import library_texts
from tests.tasks.documents_stage import data_id, rows
from tests.tasks.split_documents import built, document

TOKENIZER = TokenizerConfig(vocabulary_size=640, sample_bytes=60_000)
PAD = 3


def paragraphs(source: int) -> list[str]:
    return sorted({part for part in library_texts()[source].split("\n\n") if len(part) > 30})


CODE = [document(text, "code") for text in paragraphs(0)]
MORE = [document(text, "more") for text in paragraphs(3)]
HELD = [document(text, "code", "validation") for text in paragraphs(1)[:30]]
BAD = [document(None, "code"), document("", "code")]
PARTS = [CODE, [*MORE, *HELD], BAD]


def packed(folder: Path, config: PackConfig, parts: list = PARTS) -> dict:
    return built(folder, parts, tokenizer=TOKENIZER, pack=config)


def segments(sequences: list[dict[str, Any]], split: str) -> dict[str, list[tuple[int, list[int]]]]:
    """By doc_id: (offset, tokens) of every segment, in order of rows."""
    found: dict[str, list[tuple[int, list[int]]]] = {}
    for row in sequences:
        at = 0
        for doc_id, offset, length in zip(
            row["doc_ids"], row["doc_offsets"], row["doc_lengths"], strict=True
        ):
            if row["split"] == split:
                piece = row["tokens"][at : at + length]
                found.setdefault(doc_id, []).append((offset, piece))
            at += length
        assert row["tokens"][at:] == [PAD] * (len(row["tokens"]) - at)
    return found


def whole(pieces: list[tuple[int, list[int]]]) -> list[int]:
    joined: list[int] = []
    for offset, piece in sorted(pieces):
        assert offset == len(joined)
        joined += piece
    return joined


@pytest.mark.parametrize("strategy", ["best_fit", "concatenate"])
def test_rows_hold_the_text_of_every_document_once(tmp_path: Path, strategy: Any) -> None:
    done = packed(tmp_path, PackConfig(sequence_length=64, strategy=strategy, workers=1))
    sequences = rows(done, "pack", "sequences")
    assert {len(row["tokens"]) for row in sequences} == {65}
    assert [row["sequence_id"] for row in sequences] == list(range(len(sequences)))
    path = done["tokenizer"].artifact.data("tokenizer").folder() / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    for split, documents in (("train", [*CODE, *MORE]), ("validation", HELD)):
        found = segments(sequences, split)
        assert set(found) == {row["doc_id"] for row in documents}
        for row in documents:
            *ids, end = whole(found[row["doc_id"]])
            assert end == 0
            assert tokenizer.decode(ids) == row["text"]
    artifact = done["pack"].artifact
    facts, totals = artifact.facts["splits"], artifact.manifest.totals
    used = sum(sum(row["doc_lengths"]) for row in sequences)
    assert (totals.unit, totals.rows_in, totals.kept, totals.removed) == ("token", used, used, {})
    assert facts["train"]["bytes"] == sum(len(row["text"].encode()) for row in [*CODE, *MORE])
    assert facts["validation"]["bytes"] == sum(len(row["text"].encode()) for row in HELD)
    assert facts["validation"]["documents"] == len(HELD)
    for split, fact in facts.items():
        mine = [row for row in sequences if row["split"] == split]
        assert fact["rows"] == len(mine)
        assert fact["padding"] == 65 * len(mine) - fact["tokens"]
    rejected = rows(done, "pack", "rejected")
    assert {row["doc_id"] for row in rejected} == {row["doc_id"] for row in BAD}


def test_short_documents_are_not_cut(tmp_path: Path) -> None:
    done = packed(tmp_path, PackConfig(sequence_length=256, workers=1))
    lengths = {row["doc_id"]: len(row["tokens"]) for row in rows(done, "pack", "tokens")}
    found = segments(rows(done, "pack", "sequences"), "train")
    for doc_id, pieces in found.items():
        assert len(pieces) == -(-lengths[doc_id] // 257)
    fact = done["pack"].artifact.facts["splits"]["train"]
    assert fact["padding"] < 0.05 * fact["tokens"]


def test_validation_is_a_stream_in_order_of_documents(tmp_path: Path) -> None:
    done = packed(tmp_path, PackConfig(sequence_length=64, seed=5, workers=1))
    held = [row for row in rows(done, "pack", "sequences") if row["split"] == "validation"]
    ids = [doc_id for row in held for doc_id in row["doc_ids"]]
    assert ids == sorted(ids)
    assert all(sum(row["doc_lengths"]) == 65 for row in held[:-1])
    train = [row for row in rows(done, "pack", "sequences") if row["split"] == "train"]
    ids = [doc_id for row in train for doc_id in row["doc_ids"]]
    assert ids != sorted(ids)


def test_workers_parts_and_order_change_no_row(tmp_path: Path) -> None:
    one = packed(tmp_path / "one", PackConfig(sequence_length=64, workers=1))
    together = [row for part in PARTS for row in part][::-1]
    parts = [together[:33], together[33:40], together[40:]]
    two = packed(tmp_path / "two", PackConfig(sequence_length=64, workers=2), parts)
    assert data_id(one, "pack", "sequences") == data_id(two, "pack", "sequences")
    other = packed(tmp_path / "one", PackConfig(sequence_length=64, workers=1, seed=1))
    assert data_id(one, "pack", "sequences") != data_id(other, "pack", "sequences")


def test_mixture(tmp_path: Path) -> None:
    weights = [Weight(source="more", epochs=2.5), Weight(source="code", epochs=0.5)]
    done = packed(tmp_path, PackConfig(sequence_length=64, weights=weights, workers=1))
    lengths = {row["doc_id"]: len(row["tokens"]) for row in rows(done, "pack", "tokens")}
    sequences = rows(done, "pack", "sequences")
    times: Counter[str] = Counter()
    for doc_id, pieces in segments(sequences, "train").items():
        placed = sum(len(piece) for _, piece in pieces)
        assert placed % lengths[doc_id] == 0
        times[doc_id] = placed // lengths[doc_id]
    assert {times[row["doc_id"]] for row in MORE} == {2, 3}
    assert {times[row["doc_id"]] for row in CODE} == {0, 1}
    assert 0.3 < sum(times[row["doc_id"]] for row in CODE) / len(CODE) < 0.7
    removed = {row["doc_id"]: row for row in rows(done, "pack", "removed")}
    assert set(removed) == {row["doc_id"] for row in CODE if not times[row["doc_id"]]}
    assert {(row["reason"], row["threshold"], row["detail"]) for row in removed.values()} == {
        ("mixture", 0.5, "code")
    }
    totals = done["pack"].artifact.manifest.totals
    unused = sum(lengths[doc_id] for doc_id in removed)
    assert totals.removed == {"mixture": unused}
    assert totals.kept == sum(sum(row["doc_lengths"]) for row in sequences)
    assert totals.rows_in == totals.kept + unused
    # Validation is no part of the mixture.
    held = segments(sequences, "validation")
    assert all(len(whole(held[row["doc_id"]])) == lengths[row["doc_id"]] for row in HELD)
    sources = {(r["source"], r["split"]): r for r in done["pack"].artifact.facts["sources"]}
    more = [row["doc_id"] for row in MORE]
    assert sources["more", "train"]["tokens"] == sum(lengths[i] for i in more)
    assert sources["more", "train"]["tokens_used"] == sum(lengths[i] * times[i] for i in more)


def test_rows_of_one_source_each(tmp_path: Path) -> None:
    weights = [Weight(source="more", epochs=2)]
    parts = [*PARTS, [document("Of no source at all.", "")]]
    settings: dict[str, Any] = {"sequence_length": 64, "weights": weights, "workers": 1}
    mixed = packed(tmp_path, PackConfig(**settings), parts)
    apart = packed(tmp_path, PackConfig(**settings, by_source=True), parts)
    assert "source" not in rows(mixed, "pack", "sequences")[0]
    sequences = rows(apart, "pack", "sequences")
    source_of = {row["doc_id"]: row["source"] for part in parts for row in part}
    train = [row for row in sequences if row["split"] == "train"]
    for row in train:
        assert {source_of[doc_id] for doc_id in row["doc_ids"]} == {row["source"]}
    assert [source for source, _ in groupby(row["source"] for row in train)] == ["", "code", "more"]
    # Validation is the stream it always was.
    held = [row for row in sequences if row["split"] == "validation"]
    assert {row.pop("source") for row in held} == {None}
    others = [row for row in rows(mixed, "pack", "sequences") if row["split"] == "validation"]
    assert [row["tokens"] for row in held] == [row["tokens"] for row in others]
    placed = {doc_id: sum(len(piece) for _, piece in pieces) for doc_id, pieces in
              segments(sequences, "train").items()}  # fmt: skip
    lengths = {row["doc_id"]: len(row["tokens"]) for row in rows(apart, "pack", "tokens")}
    for doc_id, tokens in placed.items():
        assert tokens == lengths[doc_id] * (2 if source_of[doc_id] == "more" else 1)
    assert set(placed) == {row["doc_id"] for row in train_documents(parts)}
    assert [row["sequence_id"] for row in sequences] == list(range(len(sequences)))
    counts = Counter(row["source"] for row in train)
    facts = apart["pack"].artifact.facts
    assert facts["splits"]["train"]["rows"] == len(train)
    assert {r["source"]: r["rows"] for r in facts["sources"] if r["split"] == "train"} == counts
    assert apart["pack"].artifact.manifest.totals.kept == sum(
        sum(row["doc_lengths"]) for row in sequences
    )
    shown = next(p for p in panels(apart["pack"].artifact) if p.title == "Tokens by source")
    assert isinstance(shown, Table)
    assert [row[-1] for row in shown.rows if row[1] == "validation"] == [None]


def train_documents(parts: list) -> list[dict[str, Any]]:
    every = [row for part in parts for row in part]
    return [row for row in every if row["text"] and row["split"] == "train"]


def test_a_trainer_maps_what_was_packed(tmp_path: Path) -> None:
    done = packed(tmp_path, PackConfig(sequence_length=64, workers=1))
    data = done["pack"].artifact.data("sequences")
    parts = [data.path(part) for part in data.parts]
    size = done["tokenizer"].artifact.facts["vocabulary_size"]
    file = build(parts, tmp_path / "scratch", data.data_id, size)
    sequences = rows(done, "pack", "sequences")
    for split, mapped in (("train", file.train), ("validation", file.validation)):
        assert mapped.tolist() == [row["tokens"] for row in sequences if row["split"] == split]
    facts = done["pack"].artifact.facts["splits"]
    assert int(file.lengths["train"].sum()) == facts["train"]["tokens"]


def test_panels_show_tokens_padding_and_lengths(tmp_path: Path) -> None:
    done = packed(tmp_path, PackConfig(sequence_length=64, workers=1))
    shown = {panel.title: panel for panel in panels(done["pack"].artifact)}
    table, sources = shown["Sequences"], shown["Tokens by source"]
    assert isinstance(table, Table)
    assert isinstance(sources, Table)
    tokens = dict(zip(table.columns, table.rows[0], strict=True))
    assert tokens["tokens"] == sum(row[4] for row in sources.rows if row[1] == "train")
    assert 0 <= tokens["padding share"] < 0.1
    histogram = shown["Document length, train"]
    assert isinstance(histogram, Histogram)
    assert sum(histogram.counts["documents"]) == len(CODE) + len(MORE)


@pytest.mark.parametrize(
    ("config", "parts", "message"),
    [
        (PackConfig(weights=[Weight(source="wiki", epochs=2)], workers=1), PARTS, "'wiki'"),
        (
            PackConfig(
                weights=[Weight(source="code", epochs=0), Weight(source="more", epochs=0)],
                workers=1,
            ),
            PARTS,
            "left to train on",
        ),
        (PackConfig(workers=1), [*PARTS, [document("held", "code", "test")]], "split 'test'"),
    ],
)
def test_what_cannot_be_packed(tmp_path: Path, config: Any, parts: list, message: str) -> None:
    with pytest.raises(UnpackableError, match=message):
        packed(tmp_path, config, parts)


def test_two_weights_for_one_source_are_refused() -> None:
    twice = [Weight(source="code", epochs=1), Weight(source="code", epochs=2)]
    with pytest.raises(ValidationError, match="more than one for code"):
        PackConfig(weights=twice)
