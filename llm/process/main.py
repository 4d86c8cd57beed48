"""What every launched process does around its work; see docs/stage-contract.md."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from llm.process import events
from llm.process.parent import TERMINATED, StoppedError, exit_with_parent

Run = TypeVar("Run")


def run_launched(
    module: str, arguments: Sequence[str], read: Callable[[Path], Run], work: Callable[[Run], None]
) -> int:
    """Do the work that a run file describes; tell the launcher in events.

    Args:
        arguments: of the command line: the run file alone.
        read: parses it.
        work: imports its heavy libraries itself, so that they find the environment set. Whatever
            it raises is told as an event, and raised again for the log; Python then ends the
            process with 1.

    Returns:
        The exit code: 0 = done, 2 = wrong usage, 143 = stopped by SIGTERM, to go on later.
    """
    if len(arguments) != 1:
        print(f"usage: python -m {module} run.json", file=sys.stderr)
        return 2
    events.keep_standard_output()
    exit_with_parent()
    # All a run needs lies in the folders it names.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        work(read(Path(arguments[0])))
    except StoppedError as stopped:
        if os.environ.get("RANK", "0") == "0":  # of several processes the first one speaks
            events.log(str(stopped))
        return TERMINATED
    except Exception as problem:
        events.error(problem)
        raise
    return 0
