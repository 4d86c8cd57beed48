"""The verdict in a judge's reply."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llm.errors import ExpectedError

_MARKUP = "*`_ \t"


class MalformedVerdictError(ExpectedError, ValueError):
    """A reply that holds no verdict.

    Attributes:
        reason: `empty`, `no_verdict` (no last line with the code), `contradictory` (two lines that
            differ), `unknown_verdict` (a word that was not offered).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def verdict(reply: str, code: str, offered: Sequence[str]) -> str:
    """The word behind `VERDICT <code>` on the last line of a reply.

    Lines without the code are prose, whatever they say: a judge may quote an answer that names a
    verdict of its own.

    Raises:
        MalformedVerdictError: there is none.
    """
    lines = [line.strip(_MARKUP) for line in reply.splitlines() if line.strip(_MARKUP)]
    if not lines:
        raise MalformedVerdictError("empty")
    form = re.compile(rf"VERDICT\W*{re.escape(code)}\W*(\w+)\W*", re.IGNORECASE)
    found = [match.group(1).lower() for line in lines if (match := form.fullmatch(line))]
    if not found or not form.fullmatch(lines[-1]):
        raise MalformedVerdictError("no_verdict")
    if len(set(found)) > 1:
        raise MalformedVerdictError("contradictory")
    if found[0] not in offered:
        raise MalformedVerdictError("unknown_verdict")
    return found[0]
