"""`ingot run` stopped while it trains, in each way there is: a checkpoint is written, Prefect is
told, and the next run resumes from it."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient

from tasks.engine.store import channels
from tasks.engine.store.store import Store
from tests.flows.command import COMMAND, ingot, surroundings
from tests.llm.tokens.small_tokenizer import library_texts
from tests.llm.training.test_training_stopped import SLOW_COMPILER
from tests.processes import alive_after
from tests.terminal import Terminal
from tests.test_kill_stages import TRAINING, write_rows

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

NAME, NEVER, STEPS = "stopped.yaml", 86_400.0, 150
PRETRAIN = {**TRAINING["pretrain"], "checkpoint_seconds": NEVER, "tokens": STEPS * 512}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A home in which all is built but the model."""
    root = tmp_path_factory.mktemp("stopped")
    environment = surroundings(root)
    texts = [part for part in library_texts()[0].split("\n\n") if len(part) > 60]
    write_rows(root / "texts", "0.jsonl", texts)
    recipe = {**TRAINING, "name": "stopped", "pretrain": PRETRAIN}
    (root / NAME).write_text(yaml.safe_dump(recipe))
    before = [stage for stage in TRAINING if stage != "pretrain"]
    ingot(environment, "run", "--recipe", NAME, *(f"--only={stage}" for stage in before))
    yield environment
    ingot(environment, "down")


def kill(terminal: Terminal) -> None:
    os.kill(terminal.pid, signal.SIGTERM)


STOPS = [
    (1, Terminal.press_ctrl_c, 128 + signal.SIGINT),
    (2, kill, 128 + signal.SIGTERM),
    (3, Terminal.close, 128 + signal.SIGHUP),
]
each_way = pytest.mark.parametrize(
    ("seed", "stop", "code"), STOPS, ids=["ctrl-c", "kill", "closed terminal"]
)


@each_way
def test_a_checkpoint_is_written_and_the_next_run_goes_on_from_it(
    trained: dict[str, str], seed: int, stop: Callable[[Terminal], None], code: int
) -> None:
    home = Path(trained["INGOT_HOME"])
    words = ["run", "--recipe", NAME, "--set", f"pretrain.seed={seed}"]
    terminal = Terminal([*COMMAND, *words], trained)
    for line in terminal.lines():
        if re.search(r"pretrain: [1-9]\d*/\d+ steps", line):
            break
    trainers = [child.pid for child in psutil.Process(terminal.pid).children(recursive=True)]
    assert trainers, "\n".join(terminal.said)
    before = checkpoints(home)
    stop(terminal)
    assert terminal.exit_code() == code, "\n".join(terminal.said)
    assert not alive_after(trainers, seconds=2)
    (made,) = checkpoints(home) - before
    assert states(home)[-1] == "CRASHED"
    assert "pretrain" in ingot(trained, *words).split("Completed: ")[1]
    artifact = channels.resolve(Store(str(home)), "stopped", "pretrain")
    assert artifact is not None
    assert f"step-{artifact.facts['training']['resumed_from_step']:08}" == made.name
    assert states(home)[-1] == "COMPLETED"


@each_way
def test_while_it_compiles_it_ends_at_once(
    trained: dict[str, str],
    tmp_path: Path,
    seed: int,
    stop: Callable[[Terminal], None],
    code: int,
) -> None:
    """A compiler that never ends stands for a slow machine."""
    compiler, compiling = tmp_path / "compiler", tmp_path / "compiling"
    compiler.write_text(SLOW_COMPILER.format(folder=tmp_path))
    compiler.chmod(0o755)
    inductor = str(tmp_path / "inductor")
    environment = {**trained, "CXX": str(compiler), "TORCHINDUCTOR_CACHE_DIR": inductor}
    words = ["run", "--recipe", NAME, "--set", f"pretrain.seed={seed + 10}"]
    terminal = Terminal([*COMMAND, *words, "--set", "pretrain.compile=true"], environment)
    assert any("steps 1 to" in line for line in terminal.lines()), "\n".join(terminal.said)
    (tmp_path / "now").touch()
    deadline = time.monotonic() + 120
    while not (compiling.exists() and compiling.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    below = [child.pid for child in psutil.Process(terminal.pid).children(recursive=True)]
    assert int(compiling.read_text()) in below
    before, began = checkpoints(Path(trained["INGOT_HOME"])), time.monotonic()
    stop(terminal)
    assert terminal.exit_code() == code, "\n".join(terminal.said)
    assert time.monotonic() - began < 20
    assert not alive_after(below, seconds=2)
    assert checkpoints(Path(trained["INGOT_HOME"])) == before
    if stop is not Terminal.close:
        assert "llm.training was stopped; the next run starts it from the beginning" in "\n".join(
            terminal.said
        )
    assert states(Path(trained["INGOT_HOME"]))[-1] == "CRASHED"


def test_a_second_ctrl_c_ends_also_a_trainer_that_hears_nothing(trained: dict[str, str]) -> None:
    terminal = Terminal([*COMMAND, "run", "--recipe", NAME, "--set", "pretrain.seed=21"], trained)
    lines = terminal.lines()
    assert any(re.search(r"pretrain: [1-9]\d*/\d+ steps", line) for line in lines)
    below = psutil.Process(terminal.pid).children(recursive=True)
    (trainer,) = [child for child in below if "llm.training" in child.cmdline()]
    trainer.suspend()
    terminal.press_ctrl_c()
    assert any(line.startswith("stopping; what is finished is kept") for line in lines)
    assert any("stopping llm.training: it writes a checkpoint first" in line for line in lines)
    assert alive_after([trainer.pid], seconds=1), "the first one waits for it"
    began = time.monotonic()
    terminal.press_ctrl_c()
    assert terminal.exit_code() == 128 + signal.SIGINT, "\n".join(terminal.said)
    assert time.monotonic() - began < 10
    assert not alive_after([child.pid for child in below], seconds=2)


def checkpoints(home: Path) -> set[Path]:
    return set(home.glob("artifacts/pretrain/*/scratch/**/step-*"))


def states(home: Path) -> list[str]:
    """Of all runs, oldest first."""
    record: dict[str, Any] = json.loads((home / "prefect" / "server.json").read_text())
    with SyncPrefectClient(f"http://127.0.0.1:{record['port']}/api") as client:
        found = sorted(client.read_flow_runs(), key=lambda run: str(run.created))
    return [run.state.type.value for run in found if run.state]
