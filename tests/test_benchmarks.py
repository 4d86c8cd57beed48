"""Benchmarks run to their end on any machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu, quickstart
from benchmarks.evaluation_sets import missing
from tasks.recipe import load
from tasks.stages.pretrain import _architecture
from tasks.stages.pretrain_config import PretrainConfig

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_gpu_benchmark_on_a_cpu(tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--tiny"]
    done = subprocess.run(
        [*command, "--output", str(output)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert record == json.loads(output.read_text())
    cases = {row["name"]: row for row in record["rows"]}
    assert cases["checks"]["holds"], cases["checks"]
    assert cases["sharded"]["holds"], cases["sharded"]
    assert cases["train tiny ingot"]["losses"] == pytest.approx(
        cases["train tiny transformers"]["losses"], rel=1e-3
    )
    assert cases["decode tiny"]["tokens_per_second_batch_64"] > 0


@pytest.mark.long
def test_benchmark_of_alignment() -> None:
    small = ["--prompts", "2", "--samples", "2", "--new-tokens", "8", "--rounds", "1"]
    small += ["--methods", "dpo", "--training-rounds", "1", "--share", "0.01"]
    done = subprocess.run(
        [sys.executable, "benchmarks/alignment.py", *small],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    names = [row["name"] for row in record["rows"]]
    assert names == ["rollouts ingot", "rollouts trl", "dpo ingot", "dpo trl"]
    rates = [row["tokens_per_second"] for row in record["rows"][:2]]
    rates += [row["per_second"] for row in record["rows"][2:]]
    values = {bar["name"]: bar["value"] for bar in record["bars"]}
    assert values == {
        "dpo_vs_trl": pytest.approx(rates[2] / rates[3]),
        "rollout_vs_trl": pytest.approx(rates[0] / rates[1]),
    }
    assert all(row["peak_mb"] > 100 for row in record["rows"][2:])


def test_token_file_benchmark(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.token_file", "--tokens", "3e6", "--folder", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    tenth, whole, copied, decoded = record["rows"]
    assert whole["tokens"] == 3_000_000 // 1025 * 1025
    assert tenth["tokens"] == 2_000 * 1025
    assert min(row["mb_per_second"] for row in (tenth, whole, copied, decoded)) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_case_that_fails_is_told_and_costs_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('no such luck')")
    monkeypatch.setattr(gpu, "__file__", str(broken))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--tiny", "--only", "e"])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 1
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(record["rows"]) > 1
    for outcome in record["rows"]:
        assert outcome["failed"] == "exit status 1"
        assert "no such luck" in outcome["output"]


def test_bars_are_those_of_the_figures() -> None:
    found = {
        "train 124m ingot": {"mfu_percent": 37.0, "tokens_per_second": 300},
        "train 124m transformers": {"tokens_per_second": 200},
        "train 350m ingot": {"mfu_percent": 40.0, "tokens_per_second": 110},
        "train 350m transformers": {"tokens_per_second": 100},
        "train 1b ingot": {"failed": "exit status 1", "output": ""},
    }
    holds = {bar["name"]: (bar["value"], bar["holds"]) for bar in gpu.bars(found)}
    assert holds == {
        "mfu_124m": (37.0, True),
        "mfu_350m": (40.0, False),
        "speed_vs_transformers": (1.1, False),
    }


def test_the_shape_of_the_quickstart() -> None:
    configs = load("quickstart").configs
    pretrain, tokenizer, pack = (configs[name] for name in ("pretrain", "tokenizer", "pack"))
    assert isinstance(pretrain, PretrainConfig)
    size = tokenizer.model_dump()["vocabulary_size"]
    assert _architecture(pretrain, size, pack.model_dump()["sequence_length"]) == quickstart.SHAPE


@pytest.mark.long
def test_generation_benchmark() -> None:
    options = ["--models", "quickstart", "--prompts", "16", "--new-tokens", "8", "--rounds", "1"]
    done = subprocess.run(
        [sys.executable, "benchmarks/generate.py", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert {bar["name"] for bar in record["bars"]} == {
        "speed_vs_transformers",
        "batch16_vs_transformers",
        "speed_vs_llamacpp",
    }
    assert {row["name"] for row in record["rows"]} >= {"ingot int8", "llama.cpp q8_0"}
    assert all(row["tokens_per_second"] > 0 for row in record["rows"])


@pytest.mark.long
def test_evaluation_benchmark() -> None:
    if missing(["copa", "lambada"]):
        pytest.skip("shared/data/eval is not beside the checkout")
    options = ["--items", "12", "--sets", "copa,lambada"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.evaluation", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert [row["items"] for row in record["rows"]] == [12, 12]
    (bar,) = record["bars"]
    assert (bar["name"], bar["value"], bar["holds"]) == ("items_that_differ_from_lm_eval", 0, True)
