"""`python -m llm.alignment`: what it prints, how it stops, and that it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm.process.parent import TERMINATED
from tests.llm.alignment.tiny_run import instructions, model_folder, polite, run_record, thumbs

Event = dict[str, Any]


def launched(
    record: dict[str, Any],
    folder: Path,
    on_event: Callable[[Event, subprocess.Popen], None],
    module: str = "llm.alignment",
) -> tuple[int, list[Event]]:
    """Exit code and events; every line of standard output must be one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "run.json"
    path.write_text(json.dumps(record))
    heard = []
    with (folder / "stderr.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", module, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "INGOT_PARENT_PIPE": "1"},
        )
        assert process.stdout is not None
        for line in process.stdout:
            heard.append(json.loads(line))
            on_event(heard[-1], process)
        return process.wait(), heard


def ignore(event: Event, process: subprocess.Popen) -> None:
    pass


def test_an_error_is_an_event(tmp_path: Path) -> None:
    record = run_record("sft", tmp_path, tmp_path / "no model", tmp_path / "no rows")
    code, heard = launched(record | {"epochs": "two"}, tmp_path, ignore)
    assert code == 1
    assert [(event["event"], event["type"]) for event in heard] == [("error", "RunFileError")]
    assert "epochs must be int, found 'two'" in heard[0]["message"]


@pytest.mark.long
@pytest.mark.timeout(900)  # four processes, each of which imports for ten seconds of a free core
@pytest.mark.parametrize(
    ("method", "rows", "epochs", "more"),
    [
        ("sft", instructions, 10, {}),
        ("sft", instructions, 10, {"lora_rank": 4, "lora_dropout": 0.1}),
        ("dpo", polite, 10, {"lora_rank": 4, "lora_dropout": 0.1}),
        ("kto", thumbs, 10, {}),
        ("reward", polite, 10, {}),
        # An epoch is a step a prompt, of which the others take four.
        ("rlhf", instructions, 2, {}),
    ],
)
def test_stopped_and_killed_it_ends_as_if_undisturbed(
    tmp_path: Path,
    method: str,
    rows: Callable[[Path], Path],
    epochs: int,
    more: dict[str, Any],
) -> None:
    model, examples = model_folder(tmp_path), rows(tmp_path / "rows.parquet")

    def record(name: str) -> dict[str, Any]:
        changes = {"epochs": epochs, "checkpoint_seconds": 0.0, **more}
        return run_record(method, tmp_path / name, model, examples) | changes

    def sent(number: signal.Signals) -> Callable[[Event, subprocess.Popen], None]:
        def act(event: Event, process: subprocess.Popen) -> None:
            # Validation rows are scored before: stopped there, it has nothing to keep.
            if event.get("unit") == "step":
                process.send_signal(number)

        return act

    code, heard = launched(record("cut"), tmp_path / "cut", sent(signal.SIGTERM))
    assert code == TERMINATED
    assert {event["event"] for event in heard} == {"log", "progress"}
    code, _ = launched(record("cut"), tmp_path / "cut", sent(signal.SIGKILL))
    assert code == -signal.SIGKILL
    code, heard = launched(record("cut"), tmp_path / "cut", ignore)
    assert code == 0
    assert any("resumes from checkpoint-" in event.get("message", "") for event in heard)
    code, _ = launched(record("whole"), tmp_path / "whole", ignore)
    assert code == 0
    one, two = (tmp_path / name / "out" / "model.safetensors" for name in ("cut", "whole"))
    assert one.read_bytes() == two.read_bytes()
    for table in (tmp_path / "whole" / "results").glob("*.parquet"):
        assert table.read_bytes() == (tmp_path / "cut" / "results" / table.name).read_bytes()
    # The libraries did talk, but not on standard output.
    assert (tmp_path / "whole" / "stderr.log").stat().st_size > 0


@pytest.mark.long
def test_it_ends_with_its_launcher(tmp_path: Path) -> None:
    model, examples = model_folder(tmp_path), instructions(tmp_path / "rows.parquet")
    record = run_record("sft", tmp_path, model, examples) | {"epochs": 100_000}

    def hang_up(event: Event, process: subprocess.Popen) -> None:
        if event["event"] == "progress" and process.stdin is not None:
            process.stdin.close()

    code, _ = launched(record, tmp_path, hang_up)
    assert code == 1
    assert not (tmp_path / "out").exists()
