"""How a job ended that was carried out in a child process: plain values, from whatever machine.

Exceptions are sent as what they say, never as themselves: their classes may not be known where they
arrive, and many cannot be pickled.
"""

from __future__ import annotations

import sys
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from llm.errors import ExpectedError
from llm.process.child import Child, ChildCrashedError, ChildFailedError, ChildStoppedError
from tasks.engine import errors
from tasks.engine.errors import IngotError
from tasks.engine.shards.receipt import Receipt

CRASHED = "worker crashed"

# Trying these again cannot help, and going on with other shards would hide them.
_FATAL = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, IngotError)
}


class JobFailedError(ExpectedError):
    """A job could not be carried out; another try may help.

    Attributes:
        kind: class of the error, or what became of the worker.
        report: for people, a traceback where there is one.
    """

    def __init__(self, kind: str, text: str, report: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind, self.report = kind, report


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        receipt: `None` where it failed; then the rest says how.
        printed: the end of what it wrote to standard output and standard error, where that was
            kept.
    """

    receipt: Receipt | None = None
    kind: str = ""
    message: str = ""
    report: str = ""
    printed: str = ""

    def result(self) -> Receipt:
        """The receipt.

        Raises:
            JobFailedError: another try may help.
            IngotError: none does.
        """
        if self.receipt is not None:
            return self.receipt
        fatal = _FATAL.get(self.kind)
        if fatal is not None:
            raise fatal(self.message)
        raise JobFailedError(self.kind, self.message, self.report)


def in_child(child: Child, function: str, *arguments: Any) -> Ended:
    """Call a function that returns a receipt, or an `Ended`, in a child process."""
    try:
        result = child.call(function, *arguments)
    except ChildFailedError as error:
        return Ended(None, error.type_name, error.message, error.traceback_text or error.message)
    except ChildCrashedError as error:
        return Ended(None, CRASHED, str(error), str(error))
    except ChildStoppedError as error:
        return Ended(None, "stopped", str(error), str(error))
    return result if isinstance(result, Ended) else Ended(result)


def deliver(name: str, ended: Ended, ours: Future[Receipt]) -> None:
    """Give what came back from elsewhere to whoever waits, and show what was printed there.

    Args:
        name: what the shard is called for people.
    """
    for line in ended.printed.splitlines():
        print(f"{name}: {line}", file=sys.stderr)
    try:
        ours.set_result(ended.result())
    except (JobFailedError, IngotError) as error:
        ours.set_exception(error)
