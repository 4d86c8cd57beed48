"""`ingot experiment` and its flow on a recipe that trains tiny models, through a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.states import State
from typer.testing import CliRunner

from flows import experiment as flow
from flows.cli.main import application
from tasks.comparison.comparing import signed
from tasks.engine.store import channels
from tasks.engine.store.store import Store
from tasks.findings.record import measured
from tests.flows.runs import artifacts
from tests.llm.tokens.small_tokenizer import library_texts
from tests.test_kill_stages import write_rows

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

RECIPE: dict[str, Any] = {
    "name": "ground",
    "source": {"workers": 1, "sources": [{"name": "texts", "paths": ["texts"]}]},
    "clean": {"workers": 1},
    "annotate": {"workers": 1},
    "filter": {"workers": 1, "rules": [{"column": "word_count", "minimum": 20}]},
    "dedup": {"workers": 1, "keep": ["longest", "doc_id"], "validation_fraction": 0.4},
    "tokenizer": {"vocabulary_size": 512, "sample_bytes": 60_000},
    "pack": {"workers": 1, "sequence_length": 32},
    "pretrain": {
        "hidden_size": 32,
        "layers": 1,
        "heads": 2,
        "key_value_heads": 1,
        "batch_tokens": 256,
        "tokens": 65_536,
        "precision": "fp32",
        "device": "cpu",
        "threads": 1,
        "compile": False,
    },
    "evaluate": {
        "rolling": True,
        "device": "cpu",
        "threads": 1,
        "prompts": [],
        "continuations": [],
        "new_tokens": 8,
    },
}
TRIAL = {
    "recipe": "ground.yaml",
    "tokens": 8192,
    "variants": {
        "short": {"pretrain.tokens": 512},
        "strict": {"filter.rules": [{"column": "word_count", "minimum": 32}]},
        "bare": {"filter.rules": []},
        "idle": {"filter.rules": [{"column": "word_count", "minimum": 20, "maximum": 100_000}]},
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trials")
    texts = sorted({part for part in library_texts()[0].split("\n\n") if len(part) > 200})[:70]
    write_rows(root / "texts", "0.jsonl", texts)
    (root / "ground.yaml").write_text(yaml.safe_dump(RECIPE))
    (root / "trial.yaml").write_text(yaml.safe_dump(TRIAL))
    return root


@pytest.fixture(scope="module", autouse=True)
def surroundings(folder: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INGOT_ROOT", str(folder))
        patch.setenv("INGOT_HOME", str(folder / "home"))
        yield


def dry_run() -> list[dict[str, Any]]:
    found = CliRunner().invoke(application(), ["experiment", "trial.yaml", "--dry-run", "--json"])
    assert found.exit_code == 0, found.output
    rows: list[dict[str, Any]] = json.loads(found.output)
    return rows


@pytest.fixture(scope="module")
def before() -> list[dict[str, Any]]:
    return dry_run()


@pytest.fixture(scope="module")
def done(before: Any, prefect_server: None) -> State[Any]:
    return flow.experiment(file="trial.yaml", return_state=True)


def test_what_runs_is_told_before(before: list[dict[str, Any]]) -> None:
    by_variant = {
        name: [(row["stage"], row["status"]) for row in before if row["variant"] == name]
        for name in ("base", "short", "strict", "bare", "idle")
    }
    assert {status for _, status in by_variant["base"]} == {"runs"}
    ran = {
        name: [stage for stage, status in rows if status == "runs"]
        for name, rows in by_variant.items()
    }
    assert ran["short"] == ["pretrain", "evaluate"]
    assert ran["strict"] == ["filter", "dedup", "tokenizer", "pack", "pretrain", "evaluate"]


def test_what_each_change_is_worth(done: State[Any]) -> None:
    record = done.result()
    worth = {each["variant"]: each for each in record["variants"]}
    base, short, strict, idle = (worth[name] for name in ("base", "short", "strict", "idle"))
    gains = {name: {gain["metric"]: gain for gain in each["gains"]} for name, each in worth.items()}
    short_gain = gains["short"]["bits_per_byte"]
    # Of two steps and of 32, the one that has hardly begun is the worse model.
    assert short_gain["verdict"] == "worse"
    assert short_gain["change"]["low"] > 0
    assert short_gain["corrected_p"] >= short_gain["p"]
    assert short_gain["change"]["n"] == record["items"]
    assert short["bits_per_byte"] - base["bits_per_byte"] == pytest.approx(
        short_gain["change"]["value"]
    )
    assert (short["documents"], short["tokens"]) == (base["documents"], base["tokens"])
    # It trains on less, and is measured on the same.
    assert strict["documents"] < base["documents"]
    assert gains["strict"]["bits_per_byte"]["change"]["n"] == record["items"]
    # Another filter that removes the same: nothing after it runs again.
    assert idle["same_model"]
    assert gains["idle"]["bits_per_byte"]["change"]["value"] == 0
    assert "short is worse" in done.message
    assert list(gains["short"]) == ["bits_per_byte", "rolling_bits_per_byte"]


def test_the_table_is_shown_and_kept(done: State[Any], folder: Path) -> None:
    page = artifacts(done)["experiment"]
    assert "### Variants" in page
    assert "| strict |" in page
    assert "same model" in page
    # The base's only rule is what `bare` lacks.
    bare = next(each for each in done.result()["variants"] if each["variant"] == "bare")
    [gain] = [each for each in bare["gains"] if each["metric"] == "bits_per_byte"]
    [line] = [line for line in page.splitlines() if "| filter: word\\_count |" in line]
    assert f"{signed(-gain['change']['value'])} \\[" in line
    store = Store(str(folder / "home"))
    assert {each.variant for each in measured(store, "ground")} == set(TRIAL["variants"])


def test_again_all_is_served_and_pointers_are_each_variants_own(
    done: State[Any], folder: Path
) -> None:
    assert {row["status"] for row in dry_run()} == {"fresh"}
    store = Store(str(folder / "home"))
    found = {
        name: channels.resolve(store, f"trial-{name}", "evaluate")
        for name in ("base", "short", "strict", "bare", "idle")
    }
    assert all(found.values())
    texts = {each.manifest.inputs["documents"].data_id for each in found.values() if each}
    assert len(texts) == 1
    assert channels.resolve(store, "ground", "pretrain") is None
