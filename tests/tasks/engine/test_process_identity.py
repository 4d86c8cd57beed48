from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.engine.store import process_identity


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_a_process_lives_until_it_has_ended(sleeper: subprocess.Popen[bytes]) -> None:
    record = process_identity.identify(sleeper.pid)
    assert process_identity.is_alive(record) is True
    sleeper.send_signal(signal.SIGSTOP)
    assert process_identity.is_alive(record) is True
    sleeper.kill()
    deadline = time.monotonic() + 10
    while process_identity.is_alive(record) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process_identity.is_alive(record) is False, "it is dead, though its entry still waits"
    sleeper.wait()
    assert process_identity.is_alive(record) is False


def test_another_process_of_the_same_number_is_another(sleeper: subprocess.Popen[bytes]) -> None:
    record = process_identity.identify(sleeper.pid)
    assert process_identity.is_alive({**record, "born": record["born"] - 1}) is False
    assert process_identity.is_alive({**record, "host": "renamed"}) is True


@pytest.mark.parametrize("change", [{"boot": "another boot"}, {"boot": None}, {"born": None}])
def test_what_this_machine_cannot_know_is_left_open(change: dict[str, Any]) -> None:
    assert process_identity.is_alive({**process_identity.identify(), **change}) is None


def test_a_process_hidden_from_this_user_is_not_called_dead(
    monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    record, read = process_identity.identify(sleeper.pid), Path.read_text

    def hidden(self: Path, *arguments: Any) -> str:
        if self == Path(f"/proc/{sleeper.pid}/stat"):
            raise FileNotFoundError(self)
        return read(self, *arguments)

    monkeypatch.setattr(Path, "read_text", hidden)
    assert process_identity.is_alive(record) is None
    sleeper.kill()
    sleeper.wait()
    assert process_identity.is_alive(record) is False


def test_a_name_like_the_kernels_own_words_confuses_nobody(tmp_path: Path) -> None:
    odd = tmp_path / "a) R 1 (b"
    odd.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(odd), "60"])
    try:
        assert process_identity.is_alive(process_identity.identify(process.pid)) is True
        assert (
            process_identity.identify(process.pid)["born"]
            >= process_identity.identify(os.getpid())["born"]
        )
    finally:
        process.kill()
        process.wait()
