"""`ingot up --systemd` prints a unit that systemd takes, with this home in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import application
from flows.systemd_unit import UnitError, quoted, up_unit

HOSTILE = 'a b%h$HOME"c\\d'


def verified(unit: Path) -> str:
    """What systemd has to say of a unit."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    return "".join(line for line in done.stderr.splitlines(True) if unit.name in line)


def test_it_prints_this_home_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("INGOT_ROOT", str(tmp_path))
    command = ["up", "--systemd", "--gpu", "--recipe", "site"]
    told = CliRunner().invoke(application(command), command, catch_exceptions=False)
    assert told.exit_code == 0
    lines = told.stdout.splitlines()
    start = next(line for line in lines if line.startswith("ExecStart="))
    assert start.endswith('/ingot" "up" "--recipe" "site" "--gpu"')
    assert Path(start.split('"')[1]).parent == Path(sys.executable).parent
    assert f'Environment="INGOT_HOME={tmp_path}/home"' in lines
    assert f"WorkingDirectory={tmp_path}" in lines
    # What its head says works for a user who has no unit yet.
    install = [line.removeprefix("#").strip() for line in lines if line.startswith("#   ")]
    assert install[0] == "mkdir -p ~/.config/systemd/user"
    folder = install[0].removeprefix("mkdir -p ")
    assert install[1].startswith("ingot up --systemd")
    assert f"> {folder}/" in install[1]
    assert not (tmp_path / "home" / "prefect").exists()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_takes_it_whatever_the_paths(tmp_path: Path) -> None:
    place = tmp_path / HOSTILE
    place.mkdir()
    programs = tmp_path / "a b%h$HOME"
    programs.mkdir()
    program = programs / "ingot"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "ingot.service"
    unit.write_text(up_unit(program, ["--recipe", HOSTILE], place, {"INGOT_HOME": str(place)}))
    assert not verified(unit)
    unit.write_text(unit.read_text().replace("ExecStart=", "ExecStart=/nowhere/at/all "))
    assert "nowhere" in verified(unit)  # it is looked at


def test_what_systemd_would_expand_is_written_out() -> None:
    assert quoted(HOSTILE) == '"a b%%h$HOME\\"c\\\\d"'
    unit = up_unit(Path("/p/ingot"), ["--recipe", "a$B"], Path("/r"), {"X": "a$B"})
    assert 'ExecStart="/p/ingot" "up" "--recipe" "a$$B"\n' in unit
    assert 'Environment="X=a$B"\n' in unit


@pytest.mark.parametrize("mark", ['"', "'", "\\"])
def test_a_program_that_systemd_would_not_start_is_told(mark: str) -> None:
    with pytest.raises(UnitError, match="a quote or backslash"):
        up_unit(Path(f"/p{mark}/ingot"), [], Path("/r"), {})


@pytest.mark.parametrize("word", ["a\nExecStartPre=/bin/sh", "a\0b", "a\r"])
def test_a_line_break_is_refused(word: str) -> None:
    with pytest.raises(UnitError, match="control character"):
        up_unit(Path("/p/ingot"), ["--recipe", word], Path("/r"), {})
    with pytest.raises(UnitError):
        up_unit(Path("/p/ingot"), [], Path(f"/r/{word}"), {})
