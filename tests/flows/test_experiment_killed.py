"""kill -9 in the middle of an experiment: the same command goes on, what was finished is served."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from tasks.engine.store import channels
from tasks.engine.store.store import Store
from tests.flows.command import COMMAND, ingot, surroundings
from tests.flows.test_experiment import RECIPE
from tests.llm.tokens.small_tokenizer import library_texts
from tests.processes import alive_after
from tests.test_kill_stages import write_rows

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

STEPS = 2000
TRIAL = {
    "recipe": "ground.yaml",
    "variants": {
        "longer": {"pretrain.tokens": STEPS * 256, "pretrain.checkpoint_seconds": 0.2},
        "faster": {"pretrain.learning_rate": 0.02},
    },
}


@pytest.fixture
def given(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of commands where an experiment lies."""
    texts = sorted({part for part in library_texts()[0].split("\n\n") if len(part) > 200})[:70]
    write_rows(tmp_path / "texts", "0.jsonl", texts)
    base = {**RECIPE, "pretrain": {**RECIPE["pretrain"], "tokens": 8192}}
    (tmp_path / "ground.yaml").write_text(yaml.safe_dump(base))
    (tmp_path / "trial.yaml").write_text(yaml.safe_dump(TRIAL, sort_keys=False))
    variables = surroundings(tmp_path)
    yield variables
    ingot(variables, "down")


def finished(home: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.glob("artifacts/*/*/0*/manifest.json")}


def test_a_killed_experiment_goes_on_where_it_was(given: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    with (tmp_path / "log").open("wb") as log:
        run = subprocess.Popen(
            [*COMMAND, "experiment", "trial.yaml"],
            cwd=tmp_path,
            env=given,
            stdout=log,
            stderr=log,
        )
        deadline = time.monotonic() + 300
        while not list(home.glob("artifacts/pretrain/*/scratch/**/step-????????")) or not list(
            home.glob("refs/trial-base/evaluate/latest.json")
        ):
            assert run.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.02)
        trainers = [
            child.pid
            for child in psutil.Process(run.pid).children(recursive=True)
            if "llm.training" in child.cmdline()
        ]
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert trainers, "it was in the middle of a training"
    assert not alive_after(trainers, seconds=2)
    before = finished(home)
    assert len([path for path in before if path.parts[-4] == "pretrain"]) == 1

    record = json.loads(ingot(given, "experiment", "trial.yaml", "--json"))
    assert [each["variant"] for each in record["variants"]] == ["base", "longer", "faster"]
    after = finished(home)
    assert {path: after[path] for path in before} == before
    # Each stage of each run has one attempt: nothing that was finished was built again.
    assert len({path.parent.parent for path in after}) == len(after)
    assert len([path for path in after if path.parts[-4] == "pretrain"]) == 3
    assert len([path for path in after if path.parts[-4] == "pack"]) == 1
    longer = channels.resolve(Store(str(home)), "trial-longer", "pretrain")
    assert longer is not None
    resumed = longer.facts["training"]["resumed_from_step"]
    assert 1 <= resumed < STEPS, resumed
