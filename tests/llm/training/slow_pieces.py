"""`python -m llm.training` whose second step takes minutes, all of them in short pieces."""

from __future__ import annotations

import sys
import time
from typing import Any

from llm.process import events
from llm.training import step
from llm.training.__main__ import main

PIECES = 400  # a step, over all processes
SECONDS = 0.5
_loss = step.summed_loss
_begun: list[bool] = []


def slow(*arguments: Any) -> Any:
    """The loss of a piece, late."""
    if not _begun:
        events.log("the long step has begun")
        _begun.append(True)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        time.sleep(0.01)
    return _loss(*arguments)


def call(stepper: Any, number: int, *rest: Any) -> Any:
    """A step; from the second on its pieces are slow."""
    step.summed_loss = slow if number else _loss
    return _step(stepper, number, *rest)


_step = step.Stepper.__call__
if __name__ == "__main__":
    step.Stepper.__call__ = call  # type: ignore[method-assign]
    sys.exit(main(sys.argv[1:]))
