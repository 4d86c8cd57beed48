"""What runs in the processes under the net, in tests of it: some texts do bad things there."""

from __future__ import annotations

import os
from typing import Any

from llm.process import sandbox
from llm.process.guarded import Rows

ENTRY = f"{__name__}:run_limited"
HANGS, CRASHES = "this text never ends", "this text kills its process"


def run_limited(max_memory_bytes: int | None, function: str, items: Any, *arguments: Any) -> Any:
    """As `llm.process.sandbox.run_limited`, but for a text that holds one of the words above."""
    if isinstance(items, Rows):
        for text in items.table.column("text").to_pylist():
            if HANGS in (text or ""):
                pow(3, 1_000_000_000)  # minutes in one call, the interpreter lock held
            if CRASHES in (text or ""):
                os.abort()
    return sandbox.run_limited(max_memory_bytes, function, items, *arguments)
