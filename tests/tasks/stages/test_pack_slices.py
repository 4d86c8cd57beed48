"""Slices of a source by quality: in rows, weights and mixtures, and what cannot be sliced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from llm.tables import DOC_ID
from llm.training.mixture import Mixture
from tasks.engine.declare import Input, Output
from tasks.engine.shards.unit import Emitted, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Inputs
from tasks.stages import pack, tokenizer
from tasks.stages.pack import PackConfig, UnpackableError, Weight
from tasks.stages.pretrain_config import PretrainConfig
from tasks.stages.pretrain_data import plan_course
from tasks.stages.tokenizer import TokenizerConfig
from tests.llm.tokens.small_tokenizer import library_texts
from tests.tasks.documents_stage import (
    DEDUP,
    DocumentsConfig,
    built_on,
    data_id,
    no_panels,
    rows,
    write_parts,
)
from tests.tasks.split_documents import document

# Paragraphs that say in which bucket they are: "[17] ...".
NUMBERED = [
    f"[{place % 20}] {part}"
    for place, part in enumerate(
        sorted(part for part in library_texts()[0].split("\n\n") if 30 < len(part) < 400)[:60]
    )
]
CRAWL = [document(text, "crawl") for text in NUMBERED]
DOCS = [document(text, "docs") for text in NUMBERED[:20]]
UNSCORED = [document("Came in another way, and nobody scored it.", "crawl")]
HELD_OUT = [document(f"{text} Held out.", "crawl", "validation") for text in NUMBERED[:20]]
PARTS = [CRAWL, [*DOCS, *HELD_OUT], UNSCORED]
TOKENIZER = TokenizerConfig(vocabulary_size=384, sample_bytes=20_000)
BEST = {"name": "crawl-best", "source": "crawl", "from_percentile": 90}
WORST = {"name": "crawl-worst", "source": "crawl", "to_percentile": 25}
COMMON: dict[str, Any] = {"sequence_length": 64, "workers": 1}
ATTRIBUTES = pa.schema([DOC_ID, pa.field("quality_bucket", pa.int32())])


def bucket_of(row: Mapping[str, Any]) -> int | None:
    text = row["text"]
    return int(text[1 : text.index("]")]) if text.startswith("[") else None


def score_part(unit: Unit) -> Iterator[Emitted]:
    for table in unit.tables(["doc_id", "text"]):
        scored = [row for row in table.to_pylist()[::-1] if bucket_of(row) is not None]
        columns = {"doc_id": [row["doc_id"] for row in scored], "quality_bucket": []}
        columns["quality_bucket"] = [bucket_of(row) for row in scored]
        yield "attributes", pa.table(columns, schema=ATTRIBUTES)


def score(config: DocumentsConfig, inputs: Inputs, out: Out) -> None:
    out.map(score_part, over="documents")


# As the real one, it says nothing of some documents and has others in another order.
ANNOTATE = Stage(
    name="annotate",
    version=1,
    description="Buckets that texts speak of.",
    config=DocumentsConfig,
    inputs={"documents": Input(("dedup.documents",), "Documents.")},
    outputs={"attributes": Output("Buckets.", ATTRIBUTES, unique_ids=True)},
    run=score,
    panels=no_panels,
)
STAGES = (DEDUP, ANNOTATE, tokenizer.STAGE, pack.STAGE)


def packed(
    folder: Path, config: PackConfig, parts: Sequence[list] = PARTS, hold: tuple[str, ...] = ()
) -> Any:
    documents = write_parts(folder / "documents", parts)
    configs = {"annotate": DocumentsConfig(workers=1), "tokenizer": TOKENIZER, "pack": config}
    return built_on(folder / "home", STAGES, documents, configs, hold=hold)


def sliced(*slices: dict[str, Any], **settings: Any) -> PackConfig:
    return PackConfig.model_validate({**COMMON, "slices": list(slices), **settings})


def expected(row: Mapping[str, Any]) -> str:
    bucket = bucket_of(row)
    if row["source"] != "crawl" or bucket is None:
        return str(row["source"])
    return "crawl-best" if bucket >= 18 else "crawl-worst" if bucket < 5 else "crawl"


def test_a_mixture_weighs_slices_of_a_source(tmp_path: Path) -> None:
    done = packed(tmp_path, sliced(BEST, WORST, by_source=True))
    sequences = rows(done, "pack", "sequences")
    placed: dict[str, set[str]] = {}
    for row in sequences:
        if row["split"] == "train":
            placed.setdefault(row["source"], set()).update(row["doc_ids"])
    train = [*CRAWL, *DOCS, *UNSCORED]
    assert placed == {
        name: {row["doc_id"] for row in train if expected(row) == name}
        for name in ("crawl", "crawl-best", "crawl-worst", "docs")
    }
    assert len(placed["crawl-best"]) == 6  # the buckets 18 and 19, three documents each
    assert len(placed["crawl-worst"]) == 15
    facts = {(r["source"], r["split"]): r for r in done["pack"].artifact.facts["sources"]}
    assert facts["crawl-best", "train"]["documents"] == 6
    assert facts["crawl-best", "validation"]["documents"] == 2
    # The documents themselves are still of their source.
    assert {row["source"] for row in rows(done, "pack", "tokens")} == {"crawl", "docs"}

    mixture = [
        {"source": "crawl-best", "weight": 3, "max_epochs": 2},
        {"source": "docs", "weight": 1},
    ]
    config = PretrainConfig.model_validate(
        {"tokens": 64 * 200, "batch_tokens": 64 * 4, "mixture": mixture}
    )
    data = done["pack"].artifact.data("sequences")
    course = plan_course(config, data, 64)
    counts = Counter(row["source"] for row in sequences if row["split"] == "train")
    given = Mixture(counts, course.phases, course.batch_rows, 64)
    limit = 2 * counts["crawl-best"]
    three_in_four = [given.given(4 * step)["crawl-best"] for step in range(limit // 3)]
    assert three_in_four == [3 * step for step in range(limit // 3)]
    assert given.given(200) == {
        "crawl": 0,
        "crawl-best": limit,
        "crawl-worst": 0,
        "docs": 200 - limit,
    }


def test_weights_say_how_often_a_slice_is_used(tmp_path: Path) -> None:
    weights = [Weight(source="crawl-best", epochs=3), Weight(source="crawl-worst", epochs=0)]
    done = packed(tmp_path, sliced(BEST, WORST, weights=weights))
    tokens = Counter[str]()
    for row in rows(done, "pack", "sequences"):
        assert "source" not in row
        for doc_id, length in zip(row["doc_ids"], row["doc_lengths"], strict=True):
            tokens[doc_id] += length
    lengths = {row["doc_id"]: len(row["tokens"]) for row in rows(done, "pack", "tokens")}
    times = {"crawl-best": 3, "crawl-worst": 0}
    for row in [*CRAWL, *DOCS, *UNSCORED]:
        assert tokens[row["doc_id"]] == lengths[row["doc_id"]] * times.get(expected(row), 1)
    assert all(tokens[row["doc_id"]] == lengths[row["doc_id"]] for row in HELD_OUT)
    removed = rows(done, "pack", "removed")
    assert {(row["reason"], row["threshold"], row["detail"]) for row in removed} == {
        ("mixture", 0.0, "crawl-worst")
    }
    assert len(removed) == 15


def test_documents_that_come_later_move_no_other(tmp_path: Path) -> None:
    weights = [Weight(source="crawl-best", epochs=2)]
    config = sliced(BEST, weights=weights)
    hold = ("tokenizer", "pack")
    before = packed(tmp_path, config, hold=hold)
    more = [document(f"{text} And more.", "crawl") for text in NUMBERED[10:]]
    after = packed(tmp_path, config, [*PARTS, more], hold=hold)
    old, new = (rows(done, "pack", "sequences") for done in (before, after))
    assert new[: len(old)] == old
    of = {row["doc_id"]: row["mixed_as"] for row in rows(after, "pack", "partitions")}
    assert Counter(of[row["doc_id"]] for row in more) == {"crawl": 44, "crawl-best": 6}


def test_without_slices_nothing_is_read_of_quality(tmp_path: Path) -> None:
    with_none = packed(tmp_path, PackConfig(**COMMON))
    assert "attributes" not in with_none["pack"].artifact.manifest.inputs
    assert "slices" not in PackConfig().identity()
    assert "mixed_as" not in rows(with_none, "pack", "partitions")[0]
    one_and_all = packed(tmp_path, sliced({**BEST, "from_percentile": 0}))
    assert data_id(with_none, "pack", "sequences") == data_id(one_and_all, "pack", "sequences")


def test_what_cannot_be_sliced(tmp_path: Path) -> None:
    unscored = [document(f"No. {text}", "crawl") for text in NUMBERED]
    with pytest.raises(UnpackableError, match=r"pack\.slices: none of the 60 documents has a qu"):
        packed(tmp_path, sliced(BEST), [unscored])
    nobody = sliced(BEST, weights=[Weight(source="crawl-best", epochs=2)])
    with pytest.raises(UnpackableError, match=r"pack\.weights: no document comes from source 'cr"):
        packed(tmp_path, nobody, [CRAWL[:18]])


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        ([BEST, BEST], "more than one is called crawl-best"),
        (
            [BEST, {**WORST, "to_percentile": 95}],
            "crawl-best and crawl-worst both hold percentile 90 of crawl",
        ),
        ([{**BEST, "to_percentile": 90}], "90 to 90 holds nothing"),
        ([{**BEST, "from_percentile": 92}], "multiple of 5"),
    ],
)
def test_slices_that_are_none(slices: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        sliced(*slices)
    # The same percentiles of two sources are two slices.
    sliced(BEST, {**BEST, "name": "docs-best", "source": "docs"})
