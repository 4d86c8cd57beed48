"""What `ingot up` starts as a unit of systemd: started with the machine, stopped with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.engine.errors import IngotError


class UnitError(IngotError):
    """A path or setting that no unit of systemd can hold."""


def quoted(word: str) -> str:
    """A word as a unit holds it: in quotation marks, with nothing in it that systemd expands.

    Raises:
        UnitError: it has a line break or another control character.
    """
    if not word.isprintable():
        raise UnitError(f"{word!r} cannot stand in a unit of systemd: it has a control character")
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{plain}"'


def _command(words: Sequence[str]) -> str:
    # Of a command, and there alone, `$` names a variable; the program itself is never expanded.
    program, *rest = words
    return " ".join([quoted(program), *(quoted(word).replace("$", "$$") for word in rest)])


def up_unit(
    program: Path, options: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> str:
    """The text of a unit for this user's systemd.

    The server, the reports and the workers belong to it: `systemctl --user status ingot` shows
    them, and where they write is what `ingot status` says.

    Args:
        program: the command `ingot`.
        options: of `ingot up`.
        folder: that it is started in, from which relative paths of recipes count.

    Raises:
        UnitError: a path has a control character in it, or that of the program a quote.
    """
    if not folder.as_posix().isprintable():
        raise UnitError(f"{str(folder)!r} cannot stand in a unit of systemd")
    if set(str(program)) & set("\"'\\"):
        raise UnitError(
            f"{program}: systemd starts no program with a quote or backslash in its path"
        )
    lines = [
        "# Ingot: server, reports, pools, deployments and workers of one home. Install:",
        "#   mkdir -p ~/.config/systemd/user",
        "#   ingot up --systemd > ~/.config/systemd/user/ingot.service",
        "#   systemctl --user enable --now ingot",
        "#   loginctl enable-linger    (it then runs without anybody logged in)",
        "[Unit]",
        "Description=Ingot: Prefect server, reports and workers",
        "After=network.target",
        "",
        "[Service]",
        # `ingot up` starts what is missing and returns; what it started stays in this unit.
        "Type=oneshot",
        "RemainAfterExit=yes",
        f"WorkingDirectory={str(folder).replace('%', '%%')}",
        *(f"Environment={quoted(f'{name}={value}')}" for name, value in environment.items()),
        f"ExecStart={_command([str(program), 'up', *options])}",
        f"ExecStop={_command([str(program), 'down'])}",
        # A run that is stopped writes a checkpoint first, for which it has 25 seconds.
        "TimeoutStartSec=300",
        "TimeoutStopSec=60",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
    return "\n".join(lines) + "\n"
