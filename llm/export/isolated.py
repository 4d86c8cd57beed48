"""Another implementation, asked in an interpreter of its own that cannot import this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm.errors import ExpectedError

_LINES_SHOWN = 12


class UnusableExportError(ExpectedError, ValueError):
    """Another program cannot load or run what was exported; carries what it said."""


def ask(script: Path, question: Mapping[str, Any], scratch: Path, who: str) -> dict[str, Any]:
    """Run a script on a question; its answer.

    Args:
        script: reads `ask.json`, whose path it is given, and writes `reply.json` beside it. It
            ends with whoever holds its standard input.
        scratch: a folder for both, made if need be.
        who: the implementation and what it reads, for messages.

    Raises:
        UnusableExportError: the script failed, or was ended by what it loaded.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    path, reply = scratch / "ask.json", scratch / "reply.json"
    path.write_text(json.dumps(question), encoding="utf-8")
    reply.unlink(missing_ok=True)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    process = subprocess.Popen(
        [sys.executable, "-I", str(script), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    )
    # Its standard input stays open as long as this process lives, and so does it.
    assert process.stdout is not None
    with process:
        output = process.stdout.read().decode(errors="replace")
        code = process.wait()
    if code:
        lines = "\n".join(output.splitlines()[-_LINES_SHOWN:])
        raise UnusableExportError(f"{who}, exit code {code}:\n{lines}")
    answer: dict[str, Any] = json.loads(reply.read_text(encoding="utf-8"))
    return answer
