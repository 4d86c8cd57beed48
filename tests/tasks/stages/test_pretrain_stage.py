"""pretrain through the engine: tokenizer, pack, a tiny model, and going on from it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from llm.model.folder import load
from llm.training.mixture import MixtureError
from tasks.engine.config import StageConfig
from tasks.engine.errors import ExternalInputError, IngotError
from tasks.engine.run.execute import BuildResult
from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Curve, Table
from tasks.stages import pack, pretrain, tokenizer
from tasks.stages.pack import PackConfig
from tasks.stages.pretrain_config import PretrainConfig
from tasks.stages.pretrain_data import UntrainableError
from tasks.stages.pretrain_panels import panels
from tasks.stages.pretrain_start import other_architecture
from tasks.stages.tokenizer import TokenizerConfig
from tests.llm.tokens.small_tokenizer import library_texts
from tests.tasks.documents_stage import DEDUP, built_on
from tests.tasks.split_documents import built as documents_of
from tests.tasks.split_documents import document

STAGES = (DEDUP, tokenizer.STAGE, pack.STAGE, pretrain.STAGE)
LENGTH = 32
SOURCES = ("code", "docs")  # two thirds of the documents, and one
TOKENIZER = TokenizerConfig(vocabulary_size=640, sample_bytes=60_000)
PACK = PackConfig(sequence_length=LENGTH, workers=1)
TINY: dict[str, Any] = {
    "hidden_size": 32,
    "layers": 2,
    "heads": 2,
    "key_value_heads": 1,
    "tokens": 12 * 8 * LENGTH,
    "batch_tokens": 8 * LENGTH,
    "validate_every": 5,
    "precision": "fp32",
    "device": "cpu",
    "threads": 1,
    "compile": False,
}


def built(folder: Path, **configs: StageConfig) -> dict[str, BuildResult]:
    paragraphs = sorted({part for part in library_texts()[0].split("\n\n") if len(part) > 30})
    rows = [
        document(text, SOURCES[number % 3 == 0], "train" if number % 10 else "validation")
        for number, text in enumerate(paragraphs)
    ]
    everything: dict[str, StageConfig] = {"tokenizer": TOKENIZER, "pack": PACK, **configs}
    if not (folder / "documents").exists():
        documents_of(folder, [rows])
    return built_on(folder / "home", STAGES, folder / "documents", everything)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pretrain")


@pytest.fixture(scope="module")
def done(home: Path) -> BuildResult:
    return built(home, pretrain=PretrainConfig(**TINY))["pretrain"]


def test_model_metrics_and_facts(done: BuildResult) -> None:
    artifact = done.artifact
    model = load(artifact.data("model").folder())
    facts = artifact.facts["training"]
    assert model.architecture.context == LENGTH
    assert model.architecture.vocabulary_size == 640
    assert model.architecture.intermediate_size == 128
    assert facts["parameters"] == sum(p.numel() for p in model.parameters())
    assert (facts["steps"], facts["tokens"]) == (12, 12 * 8 * LENGTH)
    rows = artifact.data("metrics").table().to_pylist()
    losses = {row["step"]: row["value"] for row in rows if row["name"] == "loss"}
    assert sorted(losses) == list(range(1, 13))
    assert losses[12] < losses[1]
    measured = [row["step"] for row in rows if row["name"] == "validation_bits_per_byte"]
    assert measured == [5, 10, 12]


def test_panels(done: BuildResult) -> None:
    table, *curves = panels(done.artifact)
    assert isinstance(table, Table)
    assert ["steps", 12] in table.rows
    shown = {curve.title: curve for curve in curves if isinstance(curve, Curve)}
    assert len(shown) == len(curves)
    assert set(shown["Loss"].series) == {"train", "validation"}
    assert [step for step, _ in shown["Bits per byte"].series["validation"]] == [5, 10, 12]
    rates = dict(shown["Learning rate"].series["learning rate"])
    assert max(rates.values()) == PretrainConfig(**TINY).learning_rate


def test_steps_that_were_not_taken_are_shown(done: BuildResult) -> None:
    facts = done.artifact.facts
    assert facts["events"] == []
    assert facts["training"]["skipped_steps"] == 0
    skipped = {"event": "skipped", "loss": None, "gradient_norm": 3.5, "detail": "loss is nan"}
    shown = SimpleNamespace(
        facts={**facts, "events": [{"step": 7, **skipped}]}, data=done.artifact.data
    )
    tables = [panel for panel in panels(shown) if isinstance(panel, Table)]  # type: ignore[arg-type]
    assert [table.title for table in tables] == ["Training", "Events"]
    assert tables[1].rows == [[7, "skipped", None, 3.5, "loss is nan"]]


def test_outliers_enter_identity_once_they_are_others() -> None:
    assert "outlier_sigmas" not in PretrainConfig().identity()
    assert PretrainConfig(outlier_sigmas=0).identity()["outlier_sigmas"] == 0.0


def test_a_parametrisation_enters_identity_once_it_is_another() -> None:
    assert not {"parametrisation", "zero_init"} & set(PretrainConfig().identity())
    config = PretrainConfig(parametrisation="mup", mup_base_width=128, zero_init=True)
    expected = {"parametrisation": "mup", "mup_base_width": 128, "zero_init": True}
    assert expected.items() <= config.identity().items()
    assert "mup_base_layers" not in config.identity()


def test_a_model_from_smaller_base_sizes(home: Path) -> None:
    config = PretrainConfig(**TINY, parametrisation="mup", mup_base_width=16, zero_init=True)
    artifact = built(home, pretrain=config)["pretrain"].artifact
    rows = artifact.data("metrics").table().to_pylist()
    losses = {row["step"]: row["value"] for row in rows if row["name"] == "loss"}
    assert losses[12] < losses[1] - 0.05
    state = json.loads((artifact.data("resumable").folder() / "resumable.json").read_text())
    assert state["optimisation"]["parametrisation"] == {
        "kind": "mup",
        "base_width": 16,
        "base_layers": 6,
        "base_head_dim": 64,
        "zero_init": True,
    }
    # The final norm holds what logits are multiplied with, half of one, and has learnt since.
    final = load(artifact.data("model").folder()).model.norm.weight
    assert 0.45 < final.mean().item() < 0.55


def test_going_on_from_a_model(home: Path, done: BuildResult, tmp_path: Path) -> None:
    start = tmp_path / "start"
    shutil.copytree(done.artifact.data("model").folder(), start)
    config = PretrainConfig(**TINY, continue_from=str(start))
    again = built(home, pretrain=config)["pretrain"].artifact
    rows = again.data("metrics").table().to_pylist()
    loss = next(row["value"] for row in rows if row["name"] == "loss")
    first = done.artifact.data("metrics").table().to_pylist()
    assert loss < max(row["value"] for row in first if row["name"] == "loss") - 0.3
    other = TokenizerConfig(vocabulary_size=512, sample_bytes=60_000)
    with pytest.raises(ExternalInputError, match=r"pretrain\.continue_from: the model in"):
        built(home, tokenizer=other, pretrain=config)


def _rates(artifact: Artifact) -> dict[int, float]:
    rows = artifact.data("metrics").table().to_pylist()
    return {row["step"]: row["value"] for row in rows if row["name"] == "learning_rate"}


@pytest.mark.long
def test_going_on_from_before_the_decay(home: Path, done: BuildResult, tmp_path: Path) -> None:
    """More tokens, at the stable rate and then decayed; the artifact is an input like others."""
    build = done.artifact.manifest.build_id
    state = json.loads((done.artifact.data("resumable").folder() / "resumable.json").read_text())
    assert (state["step"], state["stable"]) == (7, True)
    more = {**TINY, "tokens": 20 * 8 * LENGTH}
    config = PretrainConfig(**more, continue_from=f"pretrain.resumable@{build[:8]}")
    again = built(home, pretrain=config)["pretrain"]
    rates = _rates(again.artifact)
    assert rates[1] == rates[12] == config.learning_rate > rates[14] > rates[20]
    assert again.artifact.facts["training"]["tokens"] == 20 * 8 * LENGTH
    record = again.artifact.manifest.inputs["start"]
    assert (record.stage, record.output, record.build_id) == ("pretrain", "resumable", build)
    assert record.data_id == done.artifact.data("resumable").data_id
    longer = PretrainConfig(**more, continue_from=f"pretrain.resumable@{build}")
    assert built(home, pretrain=longer)["pretrain"].cached  # what it is counts, not its name
    # As a folder somewhere else; and the weights alone, which are warmed up again.
    folder = tmp_path / "start"
    shutil.copytree(done.artifact.data("resumable").folder(), folder)
    copied = built(home, pretrain=PretrainConfig(**more, continue_from=str(folder)))["pretrain"]
    assert _rates(copied.artifact) == rates
    names = [item.name for item in copied.artifact.manifest.externals["start"].items]
    assert "start/optimisers.safetensors" in names
    plain = PretrainConfig(**more, warmup_share=0.2, continue_from=f"pretrain@{build[:8]}")
    warmed = _rates(built(home, pretrain=plain)["pretrain"].artifact)
    assert warmed[1] < warmed[4] == plain.learning_rate


def test_what_cannot_be_gone_on_from(home: Path, done: BuildResult) -> None:
    build = done.artifact.manifest.build_id[:8]

    def refused(name: str, **changes: Any) -> str:
        with pytest.raises(ExternalInputError) as told:
            built(home, pretrain=PretrainConfig(**{**TINY, **changes}, continue_from=name))
        return str(told.value)

    assert f"has no finished artifact pretrain@{'0' * 8}" in refused(f"pretrain@{'0' * 8}")
    assert "has no output weights, only metrics, model, resumable" in refused(
        f"pretrain.weights@{build}"
    )
    assert "layers 2 there, 3 here; set the fields" in refused(f"pretrain@{build}", layers=3)
    assert "is no model: it has no config.json" in refused(f"pretrain.metrics@{build}")


@pytest.mark.long
def test_an_artifact_without_what_training_goes_on_from_is_fresh(home: Path) -> None:
    config = {**TINY, "seed": 1, "tokens": 2 * 8 * LENGTH}
    without = built(home, pretrain=PretrainConfig(**config, resumable=False))["pretrain"]
    assert set(without.artifact.manifest.outputs) == {"model", "metrics"}
    assert built(home, pretrain=PretrainConfig(**config))["pretrain"].cached
    name = f"pretrain.resumable@{without.artifact.manifest.build_id[:12]}"
    with pytest.raises(ExternalInputError, match="has no output resumable, only metrics, model"):
        built(home, pretrain=PretrainConfig(**TINY, continue_from=name))


APART = PackConfig(sequence_length=LENGTH, by_source=True, workers=1)
MIXTURE: list[dict[str, Any]] = [
    {"source": "code", "weight": 3, "max_epochs": 1},
    {"source": "docs", "weight": 1},
]


def test_a_mixture_and_an_anneal_phase(home: Path, done: BuildResult) -> None:
    """Of 12 steps of 8 rows, the last 3 are docs alone."""
    anneal = [{"source": "docs", "weight": 1}]
    config = PretrainConfig(**TINY, mixture=MIXTURE, anneal=anneal, anneal_share=0.25)
    built_all = built(home, pack=APART, pretrain=config)
    artifact = built_all["pretrain"].artifact
    sources = {each["source"]: each for each in artifact.facts["training"]["sources"]}
    sequences = built_all["pack"].artifact.data("sequences").table().to_pylist()
    rows = Counter(row["source"] for row in sequences if row["split"] == "train")
    assert rows["code"] >= 9 * 6
    assert sources["code"]["tokens"] == 9 * 6 * LENGTH
    assert sources["docs"]["tokens"] == (9 * 2 + 3 * 8) * LENGTH
    assert sources["docs"]["epochs"] == pytest.approx((9 * 2 + 3 * 8) / rows["docs"])
    shown = {panel.title: panel for panel in panels(artifact)}
    table = shown["Tokens by source"]
    assert isinstance(table, Table)
    assert [row[:2] for row in table.rows] == [
        ["code", 9 * 6 * LENGTH],
        ["docs", (9 * 2 + 3 * 8) * LENGTH],
    ]
    assert "Tokens by source" not in {panel.title for panel in panels(done.artifact)}
    assert isinstance(shown["Training"], Table)
    assert "sources" not in {row[0] for row in shown["Training"].rows}


def test_one_pass_over_a_mixture_is_whole_batches_of_its_sources(home: Path) -> None:
    docs = [{"source": "docs", "weight": 1, "max_epochs": 1}]
    config = PretrainConfig(**TINY | {"tokens": 0}, mixture=docs)
    training = built(home, pack=APART, pretrain=config)["pretrain"].artifact.facts["training"]
    (source,) = [each for each in training["sources"] if each["tokens"]]
    assert source["source"] == "docs"
    assert 0.9 < source["epochs"] <= 1


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (
            {"mixture": [{"source": "code", "weight": 1, "max_epochs": 0.1}]},
            MixtureError,
            r"of 3,072 tokens every source of the mixture has reached its max_epochs: code 0\.1",
        ),
        (
            {"mixture": MIXTURE, "anneal": [{"source": "wiki", "weight": 1}]},
            MixtureError,
            r"no training row is of source 'wiki'.*there are code \(\d+ rows\), docs",
        ),
    ],
)
def test_mixtures_that_do_not_last(
    home: Path, values: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        built(home, pack=APART, pretrain=PretrainConfig(**TINY, **values))


def test_a_mixture_of_rows_that_do_not_say_their_source(home: Path) -> None:
    with pytest.raises(UntrainableError, match=r"pack\.by_source=true"):
        built(home, pretrain=PretrainConfig(**TINY, mixture=MIXTURE))


def test_what_a_mixture_needs() -> None:
    with pytest.raises(ValidationError, match=r"mixture\.0\.weight\s+Field required"):
        PretrainConfig.model_validate({"mixture": [{"source": "code"}]})
    with pytest.raises(ValidationError, match=r"anneal: more than one for docs"):
        PretrainConfig.model_validate({"anneal": [MIXTURE[1], MIXTURE[1]]})
    with pytest.raises(ValidationError, match=r"mixture\.0\.weight\s+.*greater than 0"):
        PretrainConfig.model_validate({"mixture": [{"source": "code", "weight": 0}]})
    assert "mixture" not in PretrainConfig().identity()
    mixed = PretrainConfig.model_validate({"mixture": MIXTURE}).identity()
    assert mixed["mixture"] == [
        {"source": "code", "weight": 3.0, "max_epochs": 1.0},
        {"source": "docs", "weight": 1.0, "max_epochs": 0.0},
    ]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"heads": 6, "key_value_heads": 4}, "key_value_heads: 4 does not divide heads 6"),
        ({"hidden_size": 100, "heads": 6}, "heads: 6 heads do not cut hidden_size 100"),
        ({"head_dim": 63}, "head_dim: 63 is odd"),
        ({"mup_base_width": 64}, "mup_base_width: only parametrisation mup has a base"),
    ],
)
def test_sizes_that_do_not_fit(values: dict[str, int], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        PretrainConfig(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"parallel": "single", "processes": 2}, "single is one process; .* make it 2"),
        ({"nodes": 2}, "2 nodes meet at a host:port, found ''"),
        ({"nodes": 2, "rendezvous": "head-node"}, "found 'head-node'"),
    ],
)
def test_processes_that_do_not_fit(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PretrainConfig(**values)
    fitting = PretrainConfig(nodes=2, rendezvous="head-node:29400", processes=8, parallel="fsdp")
    assert fitting.identity() == PretrainConfig().identity()


def test_a_plain_off_of_yaml_is_off() -> None:
    assert PretrainConfig.model_validate({"wandb": False}).wandb == "off"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pretrain.resumable@BF17", "is neither a folder nor an artifact"),
        ("pretrain@b", "at least 4 digits"),
        ("start", "expected an object of fields"),
    ],
)
def test_names_of_no_model(home: Path, tmp_path: Path, name: str, message: str) -> None:
    folder = tmp_path / "start"
    folder.mkdir()
    for file in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / file).write_text("5")
    wanted = str(folder) if name == "start" else name
    with pytest.raises(IngotError, match=message):
        built(home, pretrain=PretrainConfig(**TINY, continue_from=wanted))
    (told,) = other_architecture(str(folder), {"hidden_size": ("hidden_size", 64)})
    assert "config.json is no JSON object" in told
