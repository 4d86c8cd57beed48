"""After set-up nothing asks a network: plan, a whole chain and the tests of what once did."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm.corpus.annotate import language_model
from tests.network_record import recording, without_network

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-c", "from flows.cli.main import main; main()")
ASKING = (
    "import socket, urllib.request\n"
    "try: urllib.request.urlopen('http://packages.example/', timeout=5)\n"
    "except OSError as error: print(type(error).__name__)"
)
# Every stage there is, each as small as it can be.
RECIPE: dict[str, Any] = {
    "name": "offline",
    "source": {
        "workers": 1,
        "sources": [{"name": "pydocs", "kind": "pydocs", "distributions": ["networkx"]}],
    },
    "clean": {"workers": 1},
    "quality": {
        "positives": [{"name": "openings", "opening": True, "min_chars": 200}],
        "negatives": [{"name": "pages", "max_rows": 200}],
        "min_examples": 5,
        "dim": 8,
    },
    "annotate": {"workers": 1},
    "filter": {"workers": 1, "rules": [{"column": "language", "allowed": ["en"]}]},
    "dedup": {"workers": 1, "validation_fraction": 0.2},
    "decontaminate": {"workers": 1},
    "tokenizer": {"vocabulary_size": 512, "sample_bytes": 200_000},
    "pack": {"workers": 1, "sequence_length": 256},
    "pretrain": {
        "hidden_size": 32,
        "layers": 1,
        "heads": 2,
        "key_value_heads": 1,
        "intermediate_size": 64,
        "tokens": 8192,
        "batch_tokens": 1024,
        "validate_every": 4,
        "validation_rows": 2,
        "precision": "fp32",
        "device": "cpu",
        "threads": 1,
        "compile": False,
    },
    "examples": {"max_instructions": 40, "max_preferences": 40, "max_validation_examples": 20},
    "sft": {
        "max_length": 192,
        "long_rows": "remove",
        "batch_size": 8,
        "precision": "fp32",
        "device": "cpu",
    },
    "dpo": {
        "max_length": 192,
        "long_rows": "remove",
        "batch_size": 8,
        "precision": "fp32",
        "device": "cpu",
    },
    "evaluate": {
        "validation_bytes": 4000,
        "max_instructions": 4,
        "max_preferences": 4,
        "max_generated": 2,
        "new_tokens": 4,
        "device": "cpu",
    },
    "export": {"name": "offline", "new_tokens": 4},
    "report": {"title": "Offline"},
}


@pytest.fixture
def cut_off(tmp_path: Path) -> tuple[tuple[str, ...], dict[str, str], Path]:
    """What to put before a command, its environment, and the record of what it asked for."""
    prefix = without_network()
    if prefix is None:
        pytest.skip("unshare --net is not permitted here: a network cannot be taken away")
    variables, record = recording(tmp_path)
    path = os.pathsep.join([variables["PYTHONPATH"], str(ROOT)])
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "HF_", "INGOT_"))}
    places = {"INGOT_ROOT": str(tmp_path), "INGOT_HOME": str(tmp_path / "home")}
    return prefix, {**kept, **variables, **places, "PYTHONPATH": path}, record


def run(
    prefix: tuple[str, ...], environment: dict[str, str], *command: str, timeout: float = 1000
) -> str:
    ended = subprocess.run(
        [*prefix, *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
        timeout=timeout,
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    return ended.stdout


def test_what_asks_a_network_is_seen_and_gets_no_answer(
    cut_off: tuple[tuple[str, ...], dict[str, str], Path],
) -> None:
    prefix, environment, record = cut_off
    assert "URLError" in run(prefix, environment, sys.executable, "-c", ASKING)
    assert "packages.example" in record.read_text()


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_set_up_brings_the_model_where_it_is_looked_for(tmp_path: Path) -> None:
    def told() -> str:
        command = ["make", "--dry-run", "setup", f"VENV={tmp_path / 'venv'}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout

    assert "-m llm.corpus.annotate.language_model" in told()
    model = tmp_path / "venv" / language_model.standard_path().relative_to(sys.prefix)
    model.parent.mkdir(parents=True)
    model.touch()
    (tmp_path / "venv" / ".ready").touch()
    assert "-m llm.corpus.annotate.language_model" not in told()


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_whole_chain_without_a_network(
    cut_off: tuple[tuple[str, ...], dict[str, str], Path], tmp_path: Path
) -> None:
    prefix, environment, record = cut_off
    (tmp_path / "offline.yaml").write_text(yaml.safe_dump(RECIPE))
    assert "annotate" in run(prefix, environment, *COMMAND, "plan", "--recipe", "quickstart")
    # One namespace for server and run: in another the server could not be reached.
    script = (
        'trap "$0 -c \\"from flows.cli.main import main; main()\\" down" EXIT; '
        '"$0" -c "from flows.cli.main import main; main()" run --recipe offline.yaml'
    )
    told = run(prefix, environment, "sh", "-c", script, sys.executable)
    assert "report: " in told
    assert not record.exists(), record.read_text()


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_tests_of_what_once_asked_without_a_network(
    cut_off: tuple[tuple[str, ...], dict[str, str], Path],
) -> None:
    prefix, environment, record = cut_off
    files = (
        "tests/llm/corpus/annotate/test_language_id.py",
        "tests/tasks/stages/test_annotate_stage.py",
        "tests/flows/test_build_flow.py",
    )
    del environment["INGOT_ROOT"], environment["INGOT_HOME"]
    environment.pop("DO_NOT_TRACK", None)  # as whoever types `pytest` has it
    told = run(
        prefix, environment, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *files
    )
    assert " passed" in told
    assert " skipped" not in told
    assert not record.exists(), record.read_text()


@pytest.mark.suite
@pytest.mark.timeout(7200)
@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_all_tests_without_a_network(
    cut_off: tuple[tuple[str, ...], dict[str, str], Path],
) -> None:
    prefix, environment, record = cut_off
    del environment["INGOT_ROOT"], environment["INGOT_HOME"]
    environment.pop("DO_NOT_TRACK", None)
    told = run(prefix, environment, "make", "test", timeout=7000)
    assert re.search(r"^\d+ passed", told.splitlines()[-1]), told[-2000:]
    assert not record.exists(), record.read_text()
