from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.engine.store import living


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_a_process_lives_until_it_has_ended(sleeper: subprocess.Popen[bytes]) -> None:
    noted = living.note(sleeper.pid)
    assert living.lives(noted) is True
    sleeper.send_signal(signal.SIGSTOP)
    assert living.lives(noted) is True
    sleeper.kill()
    deadline = time.monotonic() + 10
    while living.lives(noted) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert living.lives(noted) is False, "it is dead, though its entry still waits"
    sleeper.wait()
    assert living.lives(noted) is False


def test_another_process_of_the_same_number_is_another(sleeper: subprocess.Popen[bytes]) -> None:
    noted = living.note(sleeper.pid)
    assert living.lives({**noted, "born": noted["born"] - 1}) is False
    assert living.lives({**noted, "host": "renamed"}) is True


@pytest.mark.parametrize("change", [{"boot": "another boot"}, {"boot": None}, {"born": None}])
def test_what_this_machine_cannot_know_is_left_open(change: dict[str, Any]) -> None:
    assert living.lives({**living.note(), **change}) is None


def test_a_process_hidden_from_this_user_is_not_called_dead(
    monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    noted, read = living.note(sleeper.pid), Path.read_text

    def hidden(self: Path, *arguments: Any) -> str:
        if self == Path(f"/proc/{sleeper.pid}/stat"):
            raise FileNotFoundError(self)
        return read(self, *arguments)

    monkeypatch.setattr(Path, "read_text", hidden)
    assert living.lives(noted) is None
    sleeper.kill()
    sleeper.wait()
    assert living.lives(noted) is False


def test_a_name_like_the_kernels_own_words_confuses_nobody(tmp_path: Path) -> None:
    odd = tmp_path / "a) R 1 (b"
    odd.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(odd), "60"])
    try:
        assert living.lives(living.note(process.pid)) is True
        assert living.note(process.pid)["born"] >= living.note(os.getpid())["born"]
    finally:
        process.kill()
        process.wait()
