"""What is said of a pool whose workers take no run: a command that starts one, word for word."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from flows.other_pool import _idle


def test_the_command_reaches_this_server_and_home_also_with_spaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_ROOT", str(tmp_path / "my recipes"))
    client = cast("Any", SimpleNamespace(api_url=httpx.URL("http://me:word@10.0.0.1:4200/api/")))
    said = _idle(client, "pretrain", "gpu", "/data/my home")
    command = shlex.split(said.partition("its machine: ")[2])
    assert command == [
        "PREFECT_API_URL=http://10.0.0.1:4200/api",
        "INGOT_HOME=/data/my home",
        f"INGOT_ROOT={tmp_path.resolve() / 'my recipes'}",
        *("prefect", "worker", "start", "--pool", "gpu"),
    ]
