"""A library is compiled once; one that may be another's, or is not whole, is never loaded."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from llm import c_library
from llm.c_library import compiled, compiles, is_kept
from llm.cache_folder import cache_folder

SOURCE = "int answer(void) { return ANSWER; }\n"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if not compiles():
        pytest.skip("no C compiler on this machine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "answer.c"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A call of the compiler each."""
    called: list[object] = []
    real = subprocess.run

    def noted(*arguments: object, **options: object) -> object:
        called.append(arguments)
        return real(*arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(c_library.subprocess, "run", noted)
    return called


def _answer(source: Path, value: int = 42) -> int:
    found = compiled(source, [f"-DANSWER={value}"], "nothing is answered")
    assert found is not None
    return int(found.answer())


def _kept() -> Path:
    (file,) = (cache_folder() / "compiled").iterdir()
    return file


def test_it_is_compiled_once(source: Path, runs: list[object]) -> None:
    flags = ["-DANSWER=42"]
    assert not is_kept(source, flags)
    assert [_answer(source), _answer(source)] == [42, 42]
    assert len(runs) == 1
    assert is_kept(source, flags)
    assert _kept().stat().st_mode & 0o077 == 0
    assert _kept().parent.stat().st_mode & 0o077 == 0


def test_other_flags_and_other_code_are_other_libraries(source: Path, runs: list[object]) -> None:
    assert [_answer(source), _answer(source, 43)] == [42, 43]
    source.write_text(SOURCE.replace("ANSWER", "ANSWER + 1"))
    assert _answer(source) == 43
    header = source.with_name("beside.h")
    header.write_text("#define MORE 7\n")
    source.write_text('#include "beside.h"\n' + SOURCE.replace("ANSWER", "ANSWER + MORE"))
    assert _answer(source) == 49
    header.write_text("#define MORE 8\n")
    assert _answer(source) == 50
    assert len(runs) == 5


@pytest.mark.parametrize("cut", [0, 16, 32, 1000])
def test_one_that_is_not_whole_is_compiled_again(
    source: Path, runs: list[object], cut: int
) -> None:
    _answer(source)
    whole = _kept().read_bytes()
    _kept().write_bytes(whole[:cut])
    assert _answer(source) == 42
    assert len(runs) == 2
    assert is_kept(source, ["-DANSWER=42"])


def test_one_byte_that_changed_is_seen(source: Path, runs: list[object]) -> None:
    _answer(source)
    changed = bytearray(_kept().read_bytes())
    changed[len(changed) // 2] ^= 1
    _kept().write_bytes(changed)
    assert _answer(source) == 42
    assert len(runs) == 2


def test_what_others_can_write_is_not_loaded(source: Path, runs: list[object]) -> None:
    _answer(source, 1)
    planted = _kept().read_bytes()  # whole, and of the same form
    _kept().unlink()
    _answer(source, 2)
    _kept().write_bytes(planted)
    assert _answer(source, 2) == 1  # by the owner, who may do as they like
    for mode in (0o620, 0o602):
        _kept().write_bytes(planted)
        _kept().chmod(mode)
        assert _answer(source, 2) == 2
        assert _kept().stat().st_mode & 0o022 == 0


def test_a_link_is_not_followed(source: Path, tmp_path: Path, runs: list[object]) -> None:
    _answer(source)
    elsewhere = tmp_path / "elsewhere"
    _kept().rename(elsewhere)
    name = c_library._file_name(source, ["-DANSWER=42"], ())
    (cache_folder() / "compiled" / name).symlink_to(elsewhere)
    assert _answer(source) == 42
    assert len(runs) == 2


def test_without_a_compiler_nothing_is_loaded(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answer(source)
    monkeypatch.setenv("CC", "no-such-compiler")
    assert compiled(source, ["-DANSWER=42"], "nothing is answered") is None
    assert not is_kept(source, ["-DANSWER=42"])
