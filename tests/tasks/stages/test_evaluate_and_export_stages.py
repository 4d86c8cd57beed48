"""evaluate and export through the engine, on tiny models."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from gguf import GGUFReader
from huggingface_hub import ModelCard
from pydantic import ValidationError

from llm.evaluation.items import read_measures
from llm.export.card import CARD
from tasks.engine.errors import TrainerError
from tasks.panels.panels import Samples, Table
from tasks.stages.evaluate import EvaluateConfig
from tasks.stages.evaluate import panels as evaluate_panels
from tasks.stages.export import ExportConfig
from tasks.stages.export import panels as export_panels
from tests.tasks.stand_in_models import StandInConfig, built

EVALUATE = EvaluateConfig(
    validation_bytes=400,
    max_instructions=5,
    max_preferences=5,
    max_generated=2,
    prompts=["What is wrap?"],
    continuations=["def"],
    new_tokens=4,
    resamples=100,
    threads=1,
    device="cpu",
)
EXPORT = ExportConfig(name="tiny", prompts=["def f(x):"], new_tokens=8, threads=1)
STAND_IN = StandInConfig()


@contextlib.contextmanager
def without_xllamacpp(folder: Path) -> Iterator[None]:
    """Launched processes find no xllamacpp, as on a machine where it is not installed."""
    hook = folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'xllamacpp' else find(name, *a)\n"
    )
    path = os.pathsep.join([str(hook), os.environ.get("PYTHONPATH", "")])
    with mock.patch.dict(os.environ, {"PYTHONPATH": path}):
        yield


def test_what_is_said_is_looked_up_in_the_index(tmp_path: Path) -> None:
    """The stand-in holds snowmen, of which no model here speaks; `test_verbatim.py` has figures."""
    asked = {"verbatim_prompts": 3, "verbatim_tokens": 4}
    config = EvaluateConfig(**{**EVALUATE.model_dump(), **asked})
    stages = {"pretrain": STAND_IN, "examples": STAND_IN, "sft": StandInConfig(seed=1)}
    done = built(tmp_path, index=STAND_IN, **stages, evaluate=config)
    rows = done["evaluate"].artifact.data("scores").table().to_pylist()
    found = {row["model"]: row for row in rows if row["metric"] == "verbatim_text"}
    assert set(found) == {"base", "sft"}
    assert all((row["value"], row["n"]) == (0.0, 3) for row in found.values())
    assert not any(row["metric"].startswith("verbatim_answers") for row in rows)


def test_evaluate_scores_base_and_tuned(tmp_path: Path) -> None:
    done = built(
        tmp_path,
        dedup=STAND_IN,
        pretrain=STAND_IN,
        examples=STAND_IN,
        sft=StandInConfig(seed=1),
        evaluate=EVALUATE,
    )
    artifact = done["evaluate"].artifact
    rows = artifact.data("scores").table().to_pylist()
    scores = {(row["model"], row["metric"]): row["value"] for row in rows}
    items = read_measures(artifact.data("items").table())
    for (model, metric), value in scores.items():
        if model != "xz -9e" and not metric.endswith("_change"):
            assert items[model][metric].value == pytest.approx(value)
    ratio = artifact.facts["headline"]["bits_per_byte_over_xz"]["base"]
    xz = scores["xz -9e", "bits_per_byte"]
    assert ratio == pytest.approx(scores["base", "bits_per_byte"] / xz)
    change = artifact.facts["headline"]["completion_loss_change"]
    wanted = scores["sft", "completion_loss"] - scores["base", "completion_loss"]
    assert change == {"sft": pytest.approx(wanted)}
    assert artifact.facts["validation_bytes"] == 400
    shown = {panel.title: panel for panel in evaluate_panels(artifact)}
    table, samples = shown["Scores"], shown["What the models say"]
    assert isinstance(table, Table)
    assert isinstance(samples, Samples)
    assert table.columns == ["metric", "base", "sft", "xz -9e"]
    first = table.rows[0]
    assert first[0] == "bits_per_byte"
    assert str(first[1]).startswith(f"{scores['base', 'bits_per_byte']:.4g} [")
    assert first[3] == f"{xz:.4g}"
    assert table.rows[1][3] is None
    assert [(item.heading, item.facts["model"]) for item in samples.items] == [
        ("What is wrap?", "base"),
        ("What is wrap?", "sft"),
        ("def", "base"),
    ]
    assert "Changes" in shown


def test_evaluate_without_validation_documents_says_what_to_change(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"NoValidationTextError.*dedup\.validation_fraction"):
        built(tmp_path, dedup=StandInConfig(validation=False), pretrain=STAND_IN, evaluate=EVALUATE)


def test_export_takes_the_last_model_and_shows_it_is_the_same(tmp_path: Path) -> None:
    tuned = StandInConfig(seed=1)
    done = built(tmp_path, pack=STAND_IN, pretrain=STAND_IN, sft=tuned, export=EXPORT)
    artifact, sft = done["export"].artifact, done["sft"].artifact
    folder, source = artifact.data("model").folder(), sft.data("model").folder()
    for path in source.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    card = (folder / "README.md").read_text()
    assert "# tiny" in card
    assert "| made by | sft |" in card
    assert "| tokens in the training rows | 12,345 |" in card
    facts = artifact.facts
    assert facts["stage"] == "sft"
    assert 0 <= facts["largest_logit_difference"] < facts["tolerance"]
    checks = artifact.data("parity").table().to_pylist()
    assert facts["checks"] == len(checks)
    assert all(row["passed"] for row in checks)
    shown = {panel.title: panel for panel in export_panels(artifact)}
    files = shown["Files"]
    assert isinstance(files, Table)
    assert dict(files.rows) == {path.name: path.stat().st_size for path in folder.iterdir()}


def test_export_of_files_that_do_not_fit_each_other_fails(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"ModelFolderError: .*does not fit config\.json"):
        built(tmp_path, pretrain=StandInConfig(spoiled=True), export=EXPORT)
    assert not list((tmp_path / "artifacts" / "export").rglob("manifest.json"))


def test_export_writes_gguf_files_and_measures_them(tmp_path: Path) -> None:
    config = EXPORT.model_copy(update={"gguf": ["f16", "q8_0"], "gguf_tokens": 100})
    done = built(tmp_path, pack=STAND_IN, pretrain=STAND_IN, sft=STAND_IN, export=config)
    artifact = done["export"].artifact
    folder = artifact.data("gguf").folder()
    names = ["Modelfile", "tiny-F16.gguf", "tiny-Q8_0.gguf"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert (folder / "Modelfile").read_text().startswith("FROM ./tiny-F16.gguf\n")
    reader = GGUFReader(folder / "tiny-F16.gguf")
    assert reader.fields["ingot.made_by"].contents() == "sft"
    sft = done["sft"].artifact
    assert reader.fields["ingot.model_data_id"].contents() == sft.data("model").data_id
    rows = artifact.data("gguf_parity").table().to_pylist()
    assert {row["type"] for row in rows} == {"f16", "q8_0"}
    assert not [row for row in rows if row["passed"] is False]
    # 60 tokens of the first validation row, its padding left out, and 40 of the second.
    scored = {row["text"] for row in rows if row["check"] == "bits_per_byte"}
    assert scored == {"98 tokens"}
    shown = {panel.title: panel for panel in export_panels(artifact)}
    table = shown["Parity with llama.cpp"]
    assert isinstance(table, Table)
    assert "100 validation tokens" in table.note
    worst = {(row[0], row[1]): row[3] for row in table.rows}
    assert worst["q8_0", "tokenizer"] == 0
    assert float(str(worst["q8_0", "logprob"])) > 0
    assert isinstance(shown["GGUF files"], Table)


def test_without_llama_cpp_files_are_written_and_that_is_said(tmp_path: Path) -> None:
    config = EXPORT.model_copy(update={"gguf": ["f32"]})
    with without_xllamacpp(tmp_path):
        done = built(tmp_path / "home", pretrain=STAND_IN, export=config)
    artifact = done["export"].artifact
    assert artifact.data("gguf_parity").rows == 0
    assert artifact.facts["gguf_compared"] is False
    assert (artifact.data("gguf").folder() / "tiny-F32.gguf").stat().st_size > 1000
    shown = {panel.title: panel for panel in export_panels(artifact)}
    table = shown["Parity with llama.cpp"]
    assert isinstance(table, Table)
    assert "llama.cpp is not installed" in table.note


def test_without_gguf_there_is_no_such_output(tmp_path: Path) -> None:
    done = built(tmp_path, pretrain=STAND_IN, export=EXPORT)
    artifact = done["export"].artifact
    assert "gguf" not in artifact.manifest.outputs
    assert not [panel.title for panel in export_panels(artifact) if "GGUF" in panel.title]


def test_scores_of_this_very_model_are_on_the_card(tmp_path: Path) -> None:
    config = EXPORT.model_copy(update={"card_scores": True, "license": "apache-2.0"})
    stages = {"dedup": STAND_IN, "pretrain": STAND_IN, "examples": STAND_IN}
    done = built(tmp_path, **stages, sft=StandInConfig(seed=1), evaluate=EVALUATE, export=config)
    card = done["export"].artifact.data("model").folder() / CARD
    data = ModelCard.load(card).data
    assert data.license == "apache-2.0"
    rows = done["evaluate"].artifact.data("scores").table().to_pylist()
    wanted = {
        row["metric"]: row["value"]
        for row in rows
        if row["model"] == "sft" and not row["metric"].endswith("_change")
    }
    assert "bits_per_byte" in wanted
    assert {result.metric_type: result.metric_value for result in data.eval_results} == wanted
    assert f"| bits_per_byte | {wanted['bits_per_byte']:.4g} |" in card.read_text()


def test_a_card_without_scores_says_so_and_reads_none(tmp_path: Path) -> None:
    stages = {"dedup": STAND_IN, "pretrain": STAND_IN, "examples": STAND_IN}
    done = built(tmp_path, **stages, evaluate=EVALUATE, export=EXPORT)
    artifact = done["export"].artifact
    assert "scores" not in artifact.manifest.inputs
    card = (artifact.data("model").folder() / CARD).read_text()
    assert "No scores of this model" in card
    assert ModelCard(card).data.eval_results is None


def test_gguf_types_are_each_asked_for_once() -> None:
    with pytest.raises(ValidationError, match="a type stands twice"):
        ExportConfig(gguf=["f16", "f16"])
