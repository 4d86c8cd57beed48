"""The root of all errors whose message is for the user."""

from __future__ import annotations

import traceback


class ExpectedError(Exception):
    """Something that befalls a program without a fault: wrong input, a setting that cannot be, a
    machine that lacks what is asked for, a process that was ended.

    The message says what is wrong, where, and the way out; a command prints it without a
    traceback. Any other exception is a fault of the program.
    """


def traced(error: BaseException, limit: int | None = None) -> str:
    """The traceback of the error that is being handled; "" where its message says it all.

    Args:
        limit: entries of it, as `traceback.format_exc` counts them.
    """
    return "" if isinstance(error, ExpectedError) else traceback.format_exc(limit)
