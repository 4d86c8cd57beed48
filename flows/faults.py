"""Which errors are messages for the user, and how they are printed."""

from __future__ import annotations

import errno

from llm.errors import ExpectedError

# Conditions of the machine, not faults of the program.
_OF_THE_MACHINE = {errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT}


def explains_itself(error: BaseException) -> bool:
    """Whether an error says what was wrong and what to do, or is of a disk that is full or not to
    be written; any other is a fault of the program."""
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        return True
    return isinstance(error, ExpectedError)


def message(error: BaseException) -> str:
    """`ErrorName: what was wrong`, and the notes on it, a line each."""
    notes: list[str] = getattr(error, "__notes__", [])
    return "\n".join([f"{type(error).__name__}: {error}", *notes])
