"""The shapes in which people keep examples, all turned into conversations.

Instructions: a prompt and its completion (text, or messages), messages, instruction / input /
output (Alpaca; also the `instances` of Self-Instruct), conversations of from / value (ShareGPT).
Preferences: a prompt with a chosen and a rejected answer, or two whole conversations whose common
beginning is the prompt (messages, or a transcript of "Human:" and "Assistant:" turns).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llm.alignment.example_tables import Message, Turns

Record = Mapping[str, Any]

INSTRUCTION_SHAPES = (
    "prompt/completion, question/answer, messages [{role, content}], instruction/input/output, "
    "conversations [{from, value}]"
)
PREFERENCE_SHAPES = (
    "prompt/chosen/rejected, chosen/rejected as whole conversations [{role, content}], "
    "instruction/input/chosen/rejected, conversations [{from, value}] with chosen and rejected"
)
_SYSTEMS = ("system", "system_prompt")
_PROMPTS = ("prompt", "question", "query")
_ANSWERS = ("completion", "response", "answer")
_ROLES: Mapping[str, str] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
}
_TRANSCRIPT = re.compile(r"(?:^|\n\n)(Human|Assistant):[ \t]?")
_SURROGATE = re.compile("[\ud800-\udfff]")


class UnusableRowError(ValueError):
    """A row that is no example.

    Attributes:
        reason: "unknown_shape", "wrong_type", "empty_text", "unknown_role", "no_answer",
            "no_question", "same_answers", "diverges_early", "other_prompt" or "undecodable".
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def rows_in(record: Record) -> list[Record]:
    """A row for each of the `instances` of Self-Instruct, else the record itself."""
    instances = record.get("instances")
    if "instruction" not in record or not isinstance(instances, list) or not instances:
        return [record]
    head = {name: value for name, value in record.items() if name != "instances"}
    return [{**head, **one} if isinstance(one, Mapping) else head for one in instances]


def instruction(record: Record) -> tuple[Turns]:
    """The conversation in a row; it ends with the assistant's turn.

    Raises:
        UnusableRowError
    """
    if _has(record, "messages"):
        messages = _messages(record["messages"], "messages")
    elif _has(record, "conversations"):
        messages = _messages(record["conversations"], "conversations")
    elif _has(record, "instruction") and "output" in record:
        messages = _alpaca(record) + _answer(record["output"], "output")
    else:
        prompt, answer = _first(record, _PROMPTS), _first(record, _ANSWERS)
        if prompt is None or answer is None:
            raise _unknown(record, INSTRUCTION_SHAPES)
        messages = _prompt(record[prompt], prompt) + _answer(record[answer], answer)
    messages = _with_system(record, messages)
    if messages[-1].role != "assistant":
        raise UnusableRowError("no_answer", f"the last turn is the {messages[-1].role}'s")
    _check_prompt(messages[:-1])
    return (messages,)


def preference(record: Record) -> tuple[Turns, Turns, Turns]:
    """(prompt, chosen, rejected) of a row: the answers are one turn of the assistant each.

    Raises:
        UnusableRowError
    """
    if not _has(record, "chosen") or not _has(record, "rejected"):
        raise _unknown(record, PREFERENCE_SHAPES)
    prompt = _stated_prompt(record)
    chosen, rejected = (
        _conversation(record[name], name, transcript=not prompt) for name in ("chosen", "rejected")
    )
    if prompt and all(len(turns) == 1 for turns in (chosen, rejected)):
        chosen, rejected = prompt + chosen, prompt + rejected
    if [(m.role, m.content.strip()) for m in chosen] == [
        (m.role, m.content.strip()) for m in rejected
    ]:
        raise UnusableRowError("same_answers", "chosen and rejected are the same")
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    head, better, worse = chosen[:shared], chosen[shared:], rejected[shared:]
    for name, turns in (("chosen", better), ("rejected", worse)):
        if not turns or turns[-1].role != "assistant":
            raise UnusableRowError("no_answer", f"{name} does not end with an answer")
        if len(turns) > 1:
            raise UnusableRowError(
                "diverges_early", f"chosen and rejected part {len(turns)} turns before the end"
            )
    head = _with_system(record, head)
    _check_prompt(head)
    if not all(message in head for message in prompt):
        raise UnusableRowError("other_prompt", "the answers belong to another prompt than stated")
    return head, better, worse


def _stated_prompt(record: Record) -> Turns:
    """What stands apart from the answers, or nothing: then the answers are conversations."""
    if _has(record, "conversations"):
        return _messages(record["conversations"], "conversations")
    if _has(record, "instruction"):
        return _alpaca(record)
    name = _first(record, _PROMPTS)
    return _prompt(record[name], name) if name else ()


def _conversation(value: Any, field: str, transcript: bool) -> Turns:
    """The answer in a field, or a whole conversation; only a transcript is taken to pieces."""
    if not isinstance(value, str) or not transcript:
        return _answer(value, field)
    pieces = _TRANSCRIPT.split(value)
    if len(pieces) == 1:
        raise UnusableRowError(
            "no_question", f"{field} is plain text, and there is no prompt ({', '.join(_PROMPTS)})"
        )
    if pieces[0].strip():
        raise UnusableRowError("unknown_role", f"{field}: text before the first turn")
    turns = zip(pieces[1::2], pieces[2::2], strict=True)
    return tuple(_message(role, text.strip(), field) for role, text in turns)


def _with_system(record: Record, turns: Turns) -> Turns:
    """The turns behind the system prompt in a field of its own, unless they begin with one."""
    name = _first(record, _SYSTEMS)
    if name is None or not record[name] or (turns and turns[0].role == "system"):
        return turns
    return (_message("system", record[name], name), *turns)


def _alpaca(record: Record) -> Turns:
    instruction, given = record["instruction"], record.get("input")
    if given is None or given == "":
        return (_message("user", instruction, "instruction"),)
    _text(instruction, "instruction")
    text = f"{instruction}\n\n{_text(given, 'input')}"
    return (_message("user", text, "input"),)


def _prompt(value: Any, field: str) -> Turns:
    return _messages(value, field) if isinstance(value, list) else (_message("user", value, field),)


def _answer(value: Any, field: str) -> Turns:
    if isinstance(value, list):
        return _messages(value, field)
    if isinstance(value, Mapping):
        return (_turn(value, field),)
    return (_message("assistant", value, field),)


def _messages(value: Any, field: str) -> Turns:
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        kind = type(value).__name__
        raise UnusableRowError("wrong_type", f"{field} is {kind}, expected a list of messages")
    if not value:
        raise UnusableRowError("empty_text", f"{field} has no messages")
    return tuple(_turn(item, f"{field}[{place}]") for place, item in enumerate(value))


def _turn(value: Any, where: str) -> Message:
    if isinstance(value, Mapping):
        for role, text in (("role", "content"), ("from", "value")):
            if role in value and text in value:
                return _message(value[role], value[text], where)
    raise UnusableRowError("wrong_type", f"{where} has no role and content, nor from and value")


def _message(role: Any, value: Any, where: str) -> Message:
    known = _ROLES.get(role.lower()) if isinstance(role, str) else None
    if known is None:
        names = ", ".join(_ROLES)
        raise UnusableRowError("unknown_role", f"{where}: role {role!r}; it is one of {names}")
    return Message(known, _text(value, where))


def _text(value: Any, where: str) -> str:
    if isinstance(value, list) and value and all(_is_text_part(part) for part in value):
        value = "\n".join(part["text"] for part in value)
    if value is None:
        raise UnusableRowError("empty_text", f"{where} is null")
    if not isinstance(value, str):
        raise UnusableRowError("wrong_type", f"{where} is {type(value).__name__}, expected text")
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


def _check_prompt(messages: Turns) -> None:
    if not any(message.role == "user" for message in messages):
        raise UnusableRowError("no_question", "there is no turn of the user before the answer")
    if messages[-1].role != "user":
        raise UnusableRowError("no_question", f"the answer follows the {messages[-1].role}'s turn")


def _first(record: Record, names: Sequence[str]) -> str | None:
    return next((name for name in names if _has(record, name)), None)


def _has(record: Record, name: str) -> bool:
    # Parquet gives every row every column: a null there is a field the row does not have.
    return record.get(name) is not None


def _unknown(record: Record, shapes: str) -> UnusableRowError:
    has = ", ".join(sorted(str(name) for name in record if _has(record, name))) or "no field"
    return UnusableRowError("unknown_shape", f"it has {has}; understood are {shapes}")
