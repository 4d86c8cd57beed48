"""evaluate and export through the engine, on tiny models."""

from __future__ import annotations

from pathlib import Path

import pytest

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


def test_export_of_what_transformers_would_compute_otherwise_fails(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"ForeignModelError: .*rope_parameters\.rope_type is"):
        built(tmp_path, pretrain=StandInConfig(spoiled=True), export=EXPORT)
    assert not list((tmp_path / "artifacts" / "export").rglob("manifest.json"))
