"""Turns that are no UTF-8: a script ends with the exit code of wrong usage, a person goes on."""

from __future__ import annotations

import io

import pytest
import typer

from flows.cli import chatting


def test_a_turn_of_other_bytes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # What is said is looked at before any model is loaded.
    monkeypatch.setattr(chatting, "last_model", lambda *_: None)
    with pytest.raises(typer.Exit) as end:
        chatting.chat(say=["fine", "caf\udce9"])
    assert end.value.exit_code == 2
    told = capsys.readouterr().err
    assert told == "--say: the turn is not UTF-8 at character 4; convert it to UTF-8\n"


def test_typed_bytes_that_cannot_be_decoded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped = io.TextIOWrapper(io.BytesIO("café\n".encode("latin-1")), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", piped)
    with pytest.raises(typer.Exit) as end:
        chatting._turn()
    assert end.value.exit_code == 2
    assert "the turn is not UTF-8" in capsys.readouterr().err


class _Keyboard(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def test_at_a_keyboard_they_end_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = _Keyboard(io.BytesIO("café\n".encode("latin-1")), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", typed)
    assert chatting._turn() == ""
    assert "the turn is not UTF-8" in capsys.readouterr().out
