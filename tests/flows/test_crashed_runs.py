"""Notes of flow runs' processes: kept whole or not at all, and believed only where they can be."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import httpx
import pytest

from flows import crashed_runs
from tasks.engine.store import process_identity


def test_a_note_is_of_a_dead_process_or_not(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    assert crashed_runs._record_of_dead(path) is None, "its run ended and took it away"
    crashed_runs._write_record(path, process_identity.identify())
    assert crashed_runs._record_of_dead(path) is None
    process = subprocess.Popen(["sleep", "60"])
    record = process_identity.identify(process.pid)
    crashed_runs._write_record(path, record)
    assert crashed_runs._record_of_dead(path) is None
    process.kill()
    process.wait()
    assert crashed_runs._record_of_dead(path) == record
    crashed_runs._write_record(path, {**process_identity.identify(), "boot": "of another machine"})
    assert crashed_runs._record_of_dead(path) is None


@pytest.mark.parametrize("text", ["", '{"pid": 12'])
def test_a_note_cut_short_is_cleared_away(tmp_path: Path, text: str) -> None:
    path = tmp_path / "note.json"
    path.write_text(text)
    assert crashed_runs._record_of_dead(path) == {}


def test_a_run_goes_on_without_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, text: str) -> int:
        with self.open("w"):
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_text", full)
    told: list[str] = []

    class Log:
        def warning(self, message: str, *values: object) -> None:
            told.append(message % values)

    monkeypatch.setattr(crashed_runs, "get_run_logger", Log)
    crashed_runs._write_record(tmp_path / "runs" / "note.json", {"pid": 1})
    (line,) = told
    assert line.startswith("this run cannot be recorded ([Errno 28] No space left on device)")
    assert list((tmp_path / "runs").iterdir()) == []


def test_lines_a_server_refuses_cost_no_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[int] = []

    class Refusing:
        def create_logs(self, lines: list[dict[str, str]]) -> None:
            sent.append(len(lines))
            if len(sent) == 2:
                request = httpx.Request("POST", "http://server/api/logs/")
                response = httpx.Response(422, request=request)
                raise httpx.HTTPStatusError("unprocessable", request=request, response=response)

    kept = tmp_path / "run.lines"
    kept.write_text(json.dumps([{"message": str(number)} for number in range(500)]))
    crashed_runs._send(Refusing(), kept)  # type: ignore[arg-type]
    assert sent == [200, 200]
    assert "log lines of flow run run were refused" in capsys.readouterr().err
    kept.write_text('[{"mess')  # cut short when the disk was full
    crashed_runs._send(Refusing(), kept)  # type: ignore[arg-type]
    assert sent == [200, 200]
