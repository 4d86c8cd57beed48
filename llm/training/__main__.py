"""`python -m llm.training run.json`: alone, or under torchrun.

Prints one event a line (docs/stage-contract.md). Exit codes: 0 done, 1 an error (said as an
event), 143 stopped by SIGTERM with a checkpoint written.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from llm.process import events
from llm.process.parent import TERMINATED, StoppedError, StopRequest, exit_with_parent


def main(arguments: list[str]) -> int:
    """Run the trainer on the run file named."""
    if len(arguments) != 1:
        print("usage: python -m llm.training run.json", file=sys.stderr)
        return 2
    exit_with_parent()
    stop = StopRequest()
    from llm.training.loop import train
    from llm.training.run_file import read

    try:
        train(read(Path(arguments[0])), stop)
    except StoppedError as stopped:
        if os.environ.get("RANK", "0") == "0":  # of several processes the first one speaks
            events.log(str(stopped))
        return TERMINATED
    except Exception as problem:
        events.error(problem)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
