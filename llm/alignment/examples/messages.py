"""Messages as people write them down: {role, content}, {from, value}, text in parts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llm.alignment.examples.tables import Message, Turns
from llm.errors import ExpectedError

_ROLES: Mapping[str, str] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
    # What a tool gave back: read, never learned.
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "ipython": "tool",
}
# By whichever name, one that is false or 0 says that nothing is to be learned here.
WEIGHTS = ("weight", "train", "trainable", "train_on_turn", "loss", "loss_weight")
_WRITTEN_OUT = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
_NAMES = (("role", "content"), ("from", "value"))
_SURROGATE = re.compile("[\ud800-\udfff]")


class UnusableRowError(ExpectedError, ValueError):
    """A row that is no example.

    Attributes:
        reason: "unknown_shape", "wrong_type", "empty_text", "unknown_role", "no_answer",
            "no_question", "same_answers", "diverges_early", "other_prompt", "undecodable",
            "bad_answer", "bad_weight", "same_scores", "scores_contradict", "nothing_to_learn",
            "no_thumb", "unknown_thumb" or "thumbs_contradict".
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def messages_of(value: Any, field: str) -> Turns:
    """The messages in a list of them; `field` is for what is told of a bad one. A system prompt
    that is blank is none.

    Raises:
        UnusableRowError
    """
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        kind = type(value).__name__
        raise UnusableRowError("wrong_type", f"{field} is {kind}, expected a list of messages")
    if not value:
        raise UnusableRowError("empty_text", f"{field} has no messages")
    found = tuple(
        turn_of(item, f"{field}[{place}]")
        for place, item in enumerate(value)
        if not _is_blank_system(item)
    )
    if not found:
        raise UnusableRowError("empty_text", f"{field} has a blank system prompt alone")
    return found


def turn_of(value: Any, where: str) -> Message:
    """The message in an object, with its weight.

    Raises:
        UnusableRowError
    """
    if isinstance(value, Mapping):
        for role, text in _NAMES:
            if role in value and text in value:
                message = message_of(value[role], value[text], where)
                return message._replace(supervised=_weighs(value, message.role, where))
    raise UnusableRowError("wrong_type", f"{where} has no role and content, nor from and value")


def _weighs(value: Mapping[str, Any], role: str, where: str) -> bool:
    """Whether an answer is to be learned; of other turns nothing is, whatever they weigh."""
    weights = {name: value[name] for name in WEIGHTS if value.get(name) is not None}
    learned = {name: yes_or_no(weight) for name, weight in weights.items()}
    if role != "assistant":
        return True
    for name, flag in learned.items():
        if flag is None:
            detail = f"{where}: {name} is {weights[name]!r}; an answer is learned (1) or not (0)"
            raise UnusableRowError("bad_weight", detail)
    return all(learned.values())


def message_of(role: Any, value: Any, where: str) -> Message:
    """A message of a role by any of its names.

    Raises:
        UnusableRowError
    """
    known = _role(role)
    if known is None:
        names = ", ".join(_ROLES)
        raise UnusableRowError("unknown_role", f"{where}: role {role!r}; it is one of {names}")
    return Message(known, text_of(value, where))


def _role(name: Any) -> str | None:
    return _ROLES.get(name.strip().lower()) if isinstance(name, str) else None


def _is_blank_system(value: Any) -> bool:
    if isinstance(value, Mapping):
        for role, text in _NAMES:
            if role in value and text in value:
                return _role(value[role]) == "system" and is_blank(value[text])
    return False


def is_blank(value: Any) -> bool:
    """Whether a field holds no text: null, white space, no part or parts without text."""
    if isinstance(value, list):
        return all(_is_text_part(part) and not part["text"].strip() for part in value)
    return value is None or (isinstance(value, str) and not value.strip())


def text_of(value: Any, where: str) -> str:
    """A text that is not blank, put together where it comes in parts.

    Raises:
        UnusableRowError
    """
    if isinstance(value, list) and value and all(_is_text_part(part) for part in value):
        value = "\n".join(part["text"] for part in value)
    if value is None:
        raise UnusableRowError("empty_text", f"{where} is null")
    if not isinstance(value, str):
        kind = "an object" if isinstance(value, Mapping) else type(value).__name__
        raise UnusableRowError("wrong_type", f"{where} is {kind}, expected text")
    if not value.strip():
        raise UnusableRowError("empty_text", f"{where} is empty")
    if not value.isascii() and _SURROGATE.search(value):
        # JSON can spell lone surrogates, which are no text.
        raise UnusableRowError("undecodable", f"{where} holds a lone surrogate")
    return value


def _is_text_part(part: Any) -> bool:
    return (
        isinstance(part, Mapping)
        and part.get("type") == "text"
        and isinstance(part.get("text"), str)
    )


def yes_or_no(value: Any) -> bool | None:
    """Of true, false, 1, 0 and these written out; `None` of anything else."""
    if isinstance(value, str):
        return _WRITTEN_OUT.get(value.strip().lower())
    return bool(value) if isinstance(value, (bool, int, float)) and value in (0, 1) else None
