"""mix through the engine: small models of many mixtures, the proposal, and what cannot be mixed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.engine.config import StageConfig
from tasks.engine.run.execute import BuildResult
from tasks.panels.panels import Curve, Table
from tasks.panels.pictures import picture
from tasks.stages import mix, pack, pretrain, tokenizer
from tasks.stages.mix_config import MixConfig
from tasks.stages.mix_data import UnmixableError
from tasks.stages.mix_panels import panels
from tasks.stages.pack import PackConfig
from tasks.stages.pretrain_config import PretrainConfig
from tasks.stages.tokenizer import TokenizerConfig
from tests.llm.tokens.small_tokenizer import library_texts
from tests.tasks.documents_stage import DEDUP, built_on, data_id, rows
from tests.tasks.split_documents import built as documents_of
from tests.tasks.split_documents import document

STAGES = (DEDUP, tokenizer.STAGE, pack.STAGE, mix.STAGE, pretrain.STAGE)
LENGTH = 32
FIRST = ("code", "docs")
TOKENIZER = TokenizerConfig(vocabulary_size=640, sample_bytes=60_000, sources=list(FIRST))
PACK = PackConfig(sequence_length=LENGTH, by_source=True, workers=1)
TINY: dict[str, Any] = {
    "proxies": 6,
    "proxies_per_added": 3,
    "max_epochs": 3.0,
    "held_out_bytes": 400,
    "hidden_size": 32,
    "layers": 1,
    "heads": 2,
    "key_value_heads": 1,
    "tokens": 20 * 8 * LENGTH,
    "batch_tokens": 8 * LENGTH,
    "precision": "fp32",
    "device": "cpu",
    "threads": 1,
    "at_once": 1,
}


def built(
    folder: Path, sources: Mapping[str, int], **configs: StageConfig
) -> dict[str, BuildResult]:
    """Paragraphs of a module a source; a tenth of each is held out.

    Args:
        sources: which of the modules each has.
    """
    texts = []
    for source, module in sources.items():
        paragraphs = sorted(
            {part for part in library_texts()[module].split("\n\n") if len(part) > 30}
        )
        texts += [
            document(text, source, "train" if number % 10 else "validation")
            for number, text in enumerate(paragraphs)
        ]
    everything: dict[str, StageConfig] = {"tokenizer": TOKENIZER, "pack": PACK, **configs}
    documents_of(folder, [texts])
    return built_on(folder / "home", STAGES, folder / "documents", everything)


SOURCES = {"code": 0, "docs": 4}  # argparse, and textwrap: a tenth of it


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mix")


@pytest.fixture(scope="module")
def done(home: Path) -> dict[str, BuildResult]:
    return built(home, SOURCES, mix=MixConfig(**TINY))


def kept(home: Path) -> dict[Path, int]:
    """Finished small models, and when."""
    found = (home / "home" / "lasting" / "mix").glob("*/result.json")
    return {path: path.stat().st_mtime_ns for path in found}


def test_tables_and_facts(done: dict[str, BuildResult], home: Path) -> None:
    artifact = done["mix"].artifact
    weights = {row["source"]: row for row in rows(done, "mix", "weights")}
    assert list(weights) == ["code", "docs"]
    for total in ("weight", "proportional", "importance"):
        assert sum(row[total] for row in weights.values()) == pytest.approx(1.0)
    train = [row["source"] for row in rows(done, "pack", "sequences") if row["split"] == "train"]
    assert weights["docs"]["proportional"] == pytest.approx(train.count("docs") / len(train))
    target = len(train) * LENGTH
    assert artifact.facts["target_tokens"] == target
    for name, row in weights.items():
        available = train.count(name) * LENGTH
        assert row["weight"] * target <= 3.0 * available * (1 + 1e-9)
        assert row["epochs"] == pytest.approx(row["weight"] * target / available)
    assert weights["docs"]["weight"] > weights["docs"]["proportional"]
    facts = artifact.facts
    assert facts["bits_per_byte"] <= facts["proportional_bits_per_byte"]
    assert facts["bits_per_byte"] == pytest.approx(
        np.mean([row["bits_per_byte"] for row in weights.values()])
    )
    assert -1 <= facts["rank_correlation"] <= 1
    tried = rows(done, "mix", "proxies")
    assert len(tried) == 6 * 2
    assert {row["tokens"] for row in tried} == {TINY["tokens"]}
    assert [row["weight"] for row in tried[:2]] == pytest.approx(
        [row["proportional"] for row in weights.values()], abs=1e-3
    )
    by_weight = sorted((row["weight"], row["bits_per_byte"]) for row in tried[1::2])
    assert by_weight[0][1] > by_weight[-1][1] + 0.1  # who reads docs knows docs
    assert len(kept(home)) == 6
    totals = artifact.manifest.totals
    assert (totals.rows_in, totals.kept, totals.unit) == (6, 6, "mixture")


def test_panels(done: dict[str, BuildResult]) -> None:
    shown = {panel.title: panel for panel in panels(done["mix"].artifact)}
    weights, tried = shown["Weights"], shown["Mixtures tried"]
    assert isinstance(weights, Table)
    assert isinstance(tried, Table)
    assert [row[0] for row in weights.rows] == ["code", "docs"]
    assert "with a correlation of" in weights.note
    assert len(tried.rows) == 6
    way = shown["From the proportional mixture to the proposed one"]
    assert isinstance(way, Curve)
    average = way.series["average"]
    assert average[-1][1] <= average[0][1]
    assert picture(way).startswith("<svg")
    dots = shown["Mixtures as the others tell, and as measured"]
    assert isinstance(dots, Curve)
    assert len(dots.series["measured"]) == 6


@pytest.mark.long
def test_the_same_everywhere(done: dict[str, BuildResult], tmp_path: Path) -> None:
    again = built(tmp_path, SOURCES, mix=MixConfig(**TINY | {"at_once": 2}))
    for output in ("weights", "proxies"):
        assert data_id(again, "mix", output) == data_id(done, "mix", output)


def test_what_is_wanted_changes_and_no_model_is_trained_again(
    done: dict[str, BuildResult], home: Path
) -> None:
    before = kept(home)
    importance = [{"source": "docs", "importance": 0}]
    limited = {"target_tokens": 20 * 8 * LENGTH, "max_epochs": 1.0}
    config = MixConfig.model_validate({**TINY, **limited, "importance": importance})
    found = built(home, SOURCES, mix=config)
    assert not found["mix"].cached
    assert kept(home) == before
    weights = {row["source"]: row for row in rows(found, "mix", "weights")}
    assert weights["docs"]["importance"] == 0
    first = {row["source"]: row for row in rows(done, "mix", "weights")}
    assert weights["code"]["weight"] > first["code"]["weight"]
    assert all(row["epochs"] <= 1 + 1e-9 for row in weights.values())


@pytest.mark.long
def test_a_source_that_comes_later_uses_the_models_there_are(
    done: dict[str, BuildResult], home: Path
) -> None:
    before = kept(home)
    config = MixConfig(**TINY, added=["dates"])
    found = built(home, {**SOURCES, "dates": 2}, mix=config)
    after = kept(home)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 3
    tried = rows(found, "mix", "proxies")
    first = rows(done, "mix", "proxies")
    old = [row for row in tried if row["proxy"] in {each["proxy"] for each in first}]
    assert len(old) == 6 * 3
    same = [row for row in old if row["source"] != "dates"]
    for one, other in zip(sorted(same, key=str), sorted(first, key=str), strict=True):
        assert one["bits_per_byte"] == other["bits_per_byte"]
    assert {row["weight"] for row in old if row["source"] == "dates"} == {0.0}
    assert all(row["bits_per_byte"] > 1 for row in old if row["source"] == "dates")


def test_pretrain_takes_the_proposal(done: dict[str, BuildResult], home: Path) -> None:
    small = MixConfig(**TINY).small_run().model_dump()
    config = PretrainConfig.model_validate({**small, "tokens": 0, "searched_mixture": True})
    found = built(home, SOURCES, mix=MixConfig(**TINY), pretrain=config)
    training = found["pretrain"].artifact.facts["training"]
    given = {each["source"]: each["tokens"] for each in training["sources"]}
    total = sum(given.values())
    for row in rows(found, "mix", "weights"):
        assert given[row["source"]] / total == pytest.approx(row["weight"], abs=0.02)
    record = found["pretrain"].artifact.manifest.inputs["weights"]
    assert record.data_id == data_id(found, "mix", "weights")


@pytest.mark.parametrize(
    ("sources", "values", "message"),
    [
        ({"code": 0}, {}, r"all train rows are of one source \(code\), and a mixture needs two"),
        (
            SOURCES,
            {"held_out_bytes": 3_000},
            r"3,000 bytes .*documents of 'docs' have [\d,]+; lower",
        ),
        (SOURCES, {"max_epochs": 0.9}, r"mix\.max_epochs: .* 0\.9 times .* may make up 0\.900"),
        (SOURCES, {"proxies": 4}, r"mix\.proxies: 4 mixtures for 2 sources .* it needs 5"),
        (SOURCES, {"added": ["docs"]}, r"mix\.added: of the sources, which are code, docs, two"),
        (SOURCES, {"added": ["wiki"]}, r"mix\.added\.0: no train row is of source 'wiki'"),
        (
            SOURCES,
            {
                "importance": [
                    {"source": "code", "importance": 0},
                    {"source": "docs", "importance": 0},
                ]
            },
            r"mix\.importance: all sources count 0",
        ),
    ],
)
def test_what_cannot_be_searched_is_told_before_anything_is_trained(
    tmp_path: Path, sources: dict[str, int], values: dict[str, Any], message: str
) -> None:
    config = MixConfig.model_validate({**TINY, **values})
    names = TokenizerConfig(vocabulary_size=640, sample_bytes=60_000)
    with pytest.raises(UnmixableError, match=message):
        built(tmp_path, sources, tokenizer=names, mix=config)
    assert not kept(tmp_path)


def test_rows_that_do_not_say_their_source(home: Path) -> None:
    plain = PackConfig(sequence_length=LENGTH, workers=1)
    with pytest.raises(UnmixableError, match=r"set pack\.by_source=true"):
        built(home, SOURCES, pack=plain, mix=MixConfig(**TINY))


def test_models_that_learned_nothing_are_equal(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def equal(
        config: MixConfig, inputs: Any, out: Any, rows: Any, drawn: list[Any], held: Any
    ) -> Any:
        return [{"bits": dict.fromkeys(held, 8.0)} for _ in drawn]

    monkeypatch.setattr(mix, "train_proxies", equal)
    with pytest.raises(UnmixableError, match=r"all mixtures came out alike.*raise mix\.tokens"):
        built(
            home, SOURCES, mix=MixConfig(**TINY, importance=[{"source": "code", "importance": 2}])
        )


def test_configs_that_do_not_fit() -> None:
    with pytest.raises(ValidationError, match="2 does not divide heads 3"):
        MixConfig(heads=3)
    with pytest.raises(ValidationError, match="added: a source is named twice"):
        MixConfig(added=["a", "a"])
    assert "searched_mixture" not in PretrainConfig().identity()
    with pytest.raises(ValidationError, match="searched_mixture: there is a mixture too"):
        PretrainConfig.model_validate(
            {"searched_mixture": True, "mixture": [{"source": "a", "weight": 1}]}
        )
