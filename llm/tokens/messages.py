"""Messages of a conversation: what they must be to be learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm.errors import ExpectedError

Message = Mapping[str, Any]
ROLES = ("system", "user", "assistant", "tool")


class UnusableMessagesError(ExpectedError, ValueError):
    """Messages that are no conversation to learn from.

    Attributes:
        reason: one of `empty`, `role`, `no_answer`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def check_messages(messages: Sequence[Message] | None) -> list[dict[str, Any]]:
    """Messages with a known role, a text, and whether the message is an answer to be learned.

    Raises:
        UnusableMessagesError: there are none, or one is unusable; names its place.
    """
    if not messages:
        raise UnusableMessagesError("empty", "no messages")
    checked: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise UnusableMessagesError("role", f"message {place}: role {role!r}")
        if not content or not content.strip():
            raise UnusableMessagesError("empty", f"message {place}: no text")
        learned = role == "assistant" and message.get("supervised") is not False
        checked.append({"role": role, "content": content, "supervised": learned})
    return checked
