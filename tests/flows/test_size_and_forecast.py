"""`ingot size` and `ingot forecast` as a person gives them."""

from __future__ import annotations

import html
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner, Result

from flows.cli.main import application
from flows.cli.sizing import seconds_of
from llm.process.safe_path import CHECKOUT
from llm.training.planner import rates
from llm.training.planner.dial import BudgetError
from tasks import device_rate
from tasks.settings_files.yaml_text import parse
from tasks.stages.pretrain_config import PretrainConfig
from tests.flows.command import RECIPE, ingot, surroundings
from tests.llm.tokens.small_tokenizer import library_texts


def answer(*arguments: str) -> Result:
    return CliRunner().invoke(application(), ["size", *arguments], env={"COLUMNS": "160"})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90m", 5400),
        ("8h", 28_800),
        ("2d", 172_800),
        ("1.5 h", 5400),
        ("1h30m", 5400),
        ("1d 2h", 93_600),
    ],
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "0h", "-1h", "h", "8 weeks", "1h30", "m30s"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(BudgetError, match="write it as 90m, 8h, 1h30m or 2d"):
        seconds_of(text)


def test_a_size_on_a_gpu_elsewhere() -> None:
    found = answer("--params", "124M", "--device", "h200", "--price", "3")
    assert found.exit_code == 0, found.output
    for words in ("125.9 M", "768, 16", "2,517,171,200", "Hoffmann", "Porian", "size: 124M"):
        assert words in found.output, words
    record = json.loads(answer("--params", "124M", "--device", "h200", "--json").output)
    assert record["tokens"] == 2_517_171_200
    assert record["tokens"] / record["seconds"] == pytest.approx(459_383, rel=0.01)


def test_what_is_printed_for_a_recipe_is_what_it_does() -> None:
    record = json.loads(answer("--params", "200M", "--device", "h200", "--json").output)
    config = PretrainConfig(size="200M")
    shape = record["architecture"]
    for name in ("hidden_size", "layers", "heads", "key_value_heads", "intermediate_size"):
        assert getattr(config, name) == shape[name]
    assert config.tokens == record["tokens"]
    assert config.batch_tokens // shape["context"] * shape["context"] == record["batch_tokens"]
    assert config.learning_rate == record["learning_rate"]


def test_lines_for_a_recipe_are_taken_by_one(tmp_path: Path) -> None:
    for arguments in (["--tokens", "3B"], ["--budget", "8h", "--devices", "8"], ["--params", "7B"]):
        found = answer(*arguments, "--device", "h200")
        lines = found.output.partition("in a recipe:")[2]
        recipe = parse(lines, "lines")
        config = PretrainConfig.model_validate(recipe["pretrain"])
        record = json.loads(answer(*arguments, "--device", "h200", "--json").output)
        assert config.tokens == record["tokens"]
        assert config.hidden_size == record["architecture"]["hidden_size"]
        assert config.rope_theta == record["architecture"]["rope_theta"]
        assert recipe["pack"]["sequence_length"] == record["architecture"]["context"]
        vocabulary = recipe["tokenizer"]["vocabulary_size"]
        assert vocabulary == record["architecture"]["vocabulary_size"]


def test_a_size_stands_for_what_is_left_out_alone() -> None:
    said = PretrainConfig.model_validate({"size": "1B", "learning_rate": 3e-3, "tokens": 0})
    assert (said.learning_rate, said.tokens) == (3e-3, 0)
    assert PretrainConfig.model_validate(said.model_dump()) == said
    for field, value in (("hidden_size", 768), ("layers", 16), ("layers", 17)):
        with pytest.raises(ValidationError, match=f"and {field} says {value}"):
            PretrainConfig.model_validate({"size": "1B", field: value})
    # A form says everything: what it shows at first is no answer to the size.
    form = {**PretrainConfig().model_dump(), "size": "1B"}
    assert PretrainConfig.model_validate(form).layers == 20
    assert PretrainConfig.model_validate({"size": 150_000_000}).layers == 20
    assert PretrainConfig.model_validate({"size": None}) == PretrainConfig()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--params", "1B", "--device", "h200", "--teraflops", "-3"], "numbers from 0 on"),
        (["--params", "1B", "--device", "h200", "--teraflops", "nan"], "numbers from 0 on"),
        (["--params", "1B", "--device", "h200", "--price", "inf"], "numbers from 0 on"),
        (["--params", "9B"], "no preset reaches it"),
        (["--params", "much"], "is no count"),
        ([], "say one of --params, --tokens and --budget"),
        (["--tokens", "3B", "--budget", "8h"], "leave one out"),
        (["--params", "1B", "--device", "h300"], "no measured rate"),
        (
            ["--params", "1B", "--budget", "1s", "--device", "cpu", "--teraflops", "0.0001"],
            "one step",
        ),
    ],
)
def test_questions_without_an_answer(arguments: list[str], says: str) -> None:
    found = answer(*arguments)
    assert found.exit_code == 1
    assert says in str(found.exception)


@pytest.mark.long
def test_the_rate_of_this_machine_is_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path))
    measured, heard = [], list[str]()

    def pretended(folder: Path, device: str, precision: str, tell: object) -> None:
        measured.append(device)
        name, kind, _, _ = device_rate._describe(device, precision)
        rates.keep(folder, name, kind, [(3_000_000, 1e11)], "2026-11-27")

    monkeypatch.setattr(device_rate, "_measure", pretended)
    for again in (False, False, True):
        found = device_rate.find("cpu", "fp32", again, heard.append)
        assert found.rate.flops_per_second(1) == 1e11
        assert found.bytes > 0
    assert measured == ["cpu", "cpu"]
    assert "once" in heard[0]


def test_a_device_that_is_not_here() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(device_rate.UnusableDeviceError, match="not on this machine"):
        device_rate.find("cuda", "auto", again=False, tell=print)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_measuring_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path))
    monkeypatch.setattr(device_rate, "_SECONDS", 1.0)
    monkeypatch.setattr(device_rate, "_SIZES", ["nano"])
    heard = list[str]()
    found = device_rate.find("cpu", "auto", again=False, tell=heard.append)
    assert "tokens/s" in heard[1]
    assert 1e8 < found.rate.flops_per_second(3_000_000) < 1e14
    assert found.rate.source.startswith("measured here on ")
    assert [path.name for path in tmp_path.iterdir()] == ["rates"]


def prepared(root: Path) -> dict[str, str]:
    """The environment of a home with a recipe that trains a tiny model, in seconds."""
    environment = surroundings(root)
    paragraphs = [part for part in library_texts()[0].split("\n\n") if len(part) > 400]
    for number, text in enumerate(sorted(set(paragraphs))[:40]):  # none like another
        page = f"<html><body><article><p>{html.escape(text)}</p></article></body></html>"
        (root / "pages" / f"{number}.html").write_text(page, encoding="utf-8")
    with (root / RECIPE).open("a") as recipe:
        recipe.write(
            "tokenizer: {vocabulary_size: 512, sample_bytes: 100000}\n"
            "pack: {sequence_length: 32}\n"
            "pretrain: {hidden_size: 32, layers: 2, heads: 2, key_value_heads: 1, tokens: 8192, "
            "batch_tokens: 256, validate_every: 8, compile: false, threads: 1}\n"
        )
    return environment


VALIDATED = "dedup.validation_fraction=0.4"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_forecast_of_a_recipe(tmp_path: Path) -> None:
    environment = prepared(tmp_path)
    arguments = ("forecast", "--recipe", RECIPE, "--set", VALIDATED)
    try:
        found = json.loads(ingot(environment, *arguments, "--json"))
        assert found["tokens"] == 8192
        assert len(found["runs"]) == 5
        assert found["low"] < found["bits"] < found["high"]
        again = ingot(environment, *arguments, "--dry-run", "--json")
        assert all(row["built"] for row in json.loads(again))
        # No pointer of the recipe moved to a small run.
        assert not (tmp_path / "home" / "refs" / "rivers" / "pretrain").exists()
        with pytest.raises(AssertionError, match="no validation rows"):
            ingot(environment, *arguments, "--set", "dedup.validation_fraction=0")
        # A run whose loss is no number is left out and named, and the others are made.
        with pytest.raises(AssertionError, match=r"0 runs are left .* it failed: "):
            ingot(environment, *arguments, "--set", "pretrain.z_loss=1e38")
        with pytest.raises(AssertionError, match="goes on from another is of no law"):
            ingot(environment, *arguments, "--set", "pretrain.continue_from=x")
    finally:
        ingot(environment, "down")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_benchmark_of_forecasts(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.forecast", "--held-out", "2"),
            *("--recipe", str(tmp_path / RECIPE), "--set", VALIDATED),
        ],
        cwd=CHECKOUT,
        env=prepared(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert [row["name"] for row in record["rows"]].count("fitted") == 5
    assert len(record["rows"]) == 8
    assert record["rows"][-1]["tokens"] == 8192
    assert {bar["name"] for bar in record["bars"]} == {"relative_error", "coverage", "time_error"}
