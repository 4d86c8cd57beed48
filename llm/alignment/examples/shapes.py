"""The shapes in which people keep examples, all turned into conversations.

Instructions: a prompt and its completion (text, or messages), messages, instruction / input /
output (Alpaca; Dolly has context and response; also the `instances` of Self-Instruct),
conversations of from / value (ShareGPT). Preferences: a prompt with a chosen and a rejected
answer, or two whole conversations whose common beginning is the prompt (messages, or a transcript
of "Human:" and "Assistant:" turns), or several answers that are ranked (`rankings`). Thumbs: an
instruction and what somebody thought of its answer (`thumbs`). Beside them
a field may hold the system prompt, or the turns before (`history`); `label` false marks an answer
to avoid, `weight` 0 a row that is not to be learned from, or, in a message, an answer that is there
without being learned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llm.alignment.examples.fields import Fields
from llm.alignment.examples.messages import (
    WEIGHTS,
    UnusableRowError,
    is_blank,
    message_of,
    messages_of,
    text_of,
    turn_of,
    yes_or_no,
)
from llm.alignment.examples.rankings import SHAPES as RANKED_SHAPES
from llm.alignment.examples.rankings import best_and_worst, check_scores
from llm.alignment.examples.tables import Message, Turns
from llm.alignment.examples.thumbs import THUMBS, is_good, thumb_in

Record = Mapping[str, Any]

INSTRUCTION_SHAPES = (
    "prompt/completion, question/answer, messages [{role, content}], instruction/input/output, "
    "instruction/context/response, conversations [{from, value}]"
)
PREFERENCE_SHAPES = (
    "prompt/chosen/rejected, chosen/rejected as whole conversations [{role, content}], "
    "instruction/input/chosen/rejected, conversations [{from, value}] with chosen and rejected, "
    f"{RANKED_SHAPES}"
)
THUMB_SHAPES = (
    f"those of instructions ({INSTRUCTION_SHAPES}) with a thumb beside the answer (label, thumb, "
    "feedback, vote, rating: true/false, 1/0/-1, up/down, 👍/👎 and the like); pairs of chosen and "
    "rejected answers are preference files"
)
_SYSTEMS = ("system", "system_prompt")
_PROMPTS = ("prompt", "question", "query")
_ANSWERS = ("completion", "response", "answer")
_INPUTS = ("input", "context", "question", "query")
_OUTPUTS = ("output", *_ANSWERS)
_LABELS = ("label", "kto_tag", "desirable")
_BAD = {"no", "bad", "undesirable", "-1", "-1.0"}  # as labels; false and 0 are bad anyway
_TRANSCRIPT = re.compile(r"(?:^|\n\n)(Human|Assistant):[ \t]?")


def rows_in(record: Record) -> list[Record]:
    """A row for each of the `instances` of Self-Instruct, else the record itself."""
    instances = record.get("instances")
    if "instruction" not in record or not isinstance(instances, list) or not instances:
        return [record]
    head = {name: value for name, value in record.items() if name != "instances"}
    return [{**head, **one} if isinstance(one, Mapping) else head for one in instances]


def instruction(record: Record) -> tuple[Turns]:
    """The conversation in a row; it ends with an answer of the assistant that is to be learned.

    Args:
        record: fields used are ticked off if it is a `Fields`.

    Raises:
        UnusableRowError
    """
    fields = _fields(record)
    messages = _answered(fields, INSTRUCTION_SHAPES)
    _check_label(fields)
    _check_weight(fields)
    messages = _to_the_last_learned(messages)
    _check_prompt(messages[:-1])
    return (messages,)


def thumb(record: Record) -> tuple[Turns, Turns]:
    """(prompt, answer) of a row that says of its answer whether it is good; the answer is one turn
    of the assistant, `supervised` where it is.

    Raises:
        UnusableRowError
    """
    fields = _fields(record)
    messages = _answered(fields, THUMB_SHAPES)
    up = thumb_in(fields)
    _check_weight(fields)
    _check_prompt(messages[:-1])
    # Of the conversation the last answer alone is judged, whatever the weights in it.
    prompt = tuple(message._replace(supervised=True) for message in messages[:-1])
    return prompt, (messages[-1]._replace(supervised=up),)


def _answered(fields: Fields, shapes: str) -> Turns:
    """The conversation in a row, which ends with an answer; `shapes` are told where it has none."""
    output = _first(fields, _OUTPUTS) or ("output" if "output" in fields else None)
    if fields.has("messages"):
        messages = messages_of(fields["messages"], "messages")
    elif fields.has("conversations"):
        messages = messages_of(fields["conversations"], "conversations")
    elif fields.has("instruction") and output:
        messages = _history(fields) + _alpaca(fields) + _answer(fields[output], output)
    else:
        prompt, answer = _first(fields, _PROMPTS), _first(fields, _ANSWERS)
        if prompt is None or answer is None:
            raise _unknown(fields, shapes)
        messages = _history(fields) + _prompt(fields[prompt], prompt)
        messages += _answer(fields[answer], answer)
    messages = _with_system(fields, messages)
    if messages[-1].role != "assistant":
        raise UnusableRowError("no_answer", f"the last turn is the {messages[-1].role}'s")
    return messages


def preference(record: Record) -> tuple[Turns, Turns, Turns]:
    """(prompt, chosen, rejected) of a row: the answers are one turn of the assistant each.

    Raises:
        UnusableRowError
    """
    fields = _fields(record)
    answers = _two_answers(fields)
    _check_weight(fields)
    prompt = _stated_prompt(fields)
    chosen, rejected = (
        _conversation(answer, name, transcript=not prompt) for name, answer in answers.items()
    )
    if prompt and all(len(turns) == 1 for turns in (chosen, rejected)):
        chosen, rejected = prompt + chosen, prompt + rejected
    if len(chosen) == len(rejected) and all(map(_same, chosen, rejected)):
        raise UnusableRowError("same_answers", "chosen and rejected are the same")
    shared = 0
    while shared < min(len(chosen), len(rejected)) and _same(chosen[shared], rejected[shared]):
        shared += 1
    head, better, worse = chosen[:shared], chosen[shared:], rejected[shared:]
    for name, turns in (("chosen", better), ("rejected", worse)):
        if not turns or turns[-1].role != "assistant":
            raise UnusableRowError("no_answer", f"{name} does not end with an answer")
        if len(turns) > 1:
            raise UnusableRowError(
                "diverges_early", f"chosen and rejected part {len(turns)} turns before the end"
            )
        if not turns[-1].supervised:
            raise UnusableRowError("nothing_to_learn", f"the answer in {name} has weight 0")
    head = _with_system(fields, head)
    _check_prompt(head)
    if not all(any(_same(message, other) for other in head) for message in prompt):
        raise UnusableRowError("other_prompt", "the answers belong to another prompt than stated")
    # Of a pair the answers alone are learned from, whatever the weights before them.
    return tuple(message._replace(supervised=True) for message in head), better, worse


def _two_answers(fields: Fields) -> dict[str, Any]:
    """Chosen and rejected as they stand in a row that names them, or ranks several."""
    if fields.has("chosen") and fields.has("rejected"):
        check_scores(fields)
        return {name: fields[name] for name in ("chosen", "rejected")}
    ranked = best_and_worst(fields)
    if ranked is None:
        raise _unknown(fields, PREFERENCE_SHAPES)
    return dict(zip(("chosen", "rejected"), ranked, strict=True))


def _fields(record: Record) -> Fields:
    return record if isinstance(record, Fields) else Fields(record)


def _same(one: Message, other: Message) -> bool:
    """Equal but for white space around: sets state a prompt twice, and strip it once."""
    return one.role == other.role and one.content.strip() == other.content.strip()


def _stated_prompt(record: Fields) -> Turns:
    """What stands apart from the answers, or nothing: then the answers are conversations."""
    if record.has("conversations"):
        return messages_of(record["conversations"], "conversations")
    if record.has("instruction"):
        return _history(record) + _alpaca(record)
    name = _first(record, _PROMPTS)
    return _history(record) + _prompt(record[name], name) if name else ()


def _history(record: Fields) -> Turns:
    """The turns before the prompt: pairs of question and answer, or messages."""
    value = record["history"] if record.has("history") else ()
    if value in ("", "[]", [], ()):
        return ()
    if isinstance(value, list) and all(_is_pair(item) for item in value):
        return tuple(
            message_of(role, text, f"history[{place}]")
            for place, item in enumerate(value)
            for role, text in zip(("user", "assistant"), item, strict=True)
        )
    return messages_of(value, "history")


def _is_pair(item: Any) -> bool:
    return isinstance(item, Sequence) and not isinstance(item, str) and len(item) == 2


def _check_label(record: Fields) -> None:
    """Refuse an answer that is marked as one to avoid (KTO)."""
    marks = {name: _is_good(record.peek(name)) for name in _LABELS}
    for name, meaning in THUMBS.items():
        found = is_good(record.peek(name))
        if found is not None and name not in marks:
            marks[name] = found is meaning
    # Some other label is left unread, and told as such.
    for name in (name for name, good in marks.items() if good is not None):
        label = record[name]
        if not marks[name]:
            raise UnusableRowError(
                "bad_answer", f"{name} is {label!r}: an answer to avoid, none to learn"
            )


def _is_good(label: Any) -> bool | None:
    if isinstance(label, str) and label.strip().lower() in _BAD:
        return False
    return False if isinstance(label, (int, float)) and label < 0 else yes_or_no(label)


def _check_weight(record: Fields) -> None:
    """Refuse a row that says of itself that nothing is to be learned from it."""
    for name in WEIGHTS:
        # Some other number is left unread, and told as such.
        if yes_or_no(record.peek(name)) is not None and not yes_or_no(record[name]):
            raise UnusableRowError(
                "nothing_to_learn", f"the row's {name} is {record[name]!r}: none to learn from"
            )


def _to_the_last_learned(messages: Turns) -> Turns:
    """The conversation up to its last answer to be learned; what follows it teaches nothing."""
    for length in range(len(messages), 0, -1):
        if messages[length - 1].role == "assistant" and messages[length - 1].supervised:
            return messages[:length]
    raise UnusableRowError("nothing_to_learn", "every answer has weight 0")


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
    return tuple(message_of(role, text.strip(), field) for role, text in turns)


def _with_system(record: Fields, turns: Turns) -> Turns:
    """The turns behind the system prompt in a field of its own, unless they begin with one."""
    # Looked at, a blank one is read too: it says that there is none.
    name = next((n for n in _SYSTEMS if record.has(n) and not is_blank(record[n])), None)
    if name is None or (turns and turns[0].role == "system"):
        return turns
    return (message_of("system", record[name], name), *turns)


def _alpaca(record: Fields) -> Turns:
    """The instruction and, behind it, what it is about; that may be blank."""
    texts = [text_of(record["instruction"], "instruction")]
    for name in _INPUTS:
        value = record[name] if record.has(name) else ""
        if not isinstance(value, str) or value.strip():
            texts.append(text_of(value, name))
    return (Message("user", "\n\n".join(texts)),)


def _prompt(value: Any, field: str) -> Turns:
    return (
        messages_of(value, field)
        if isinstance(value, list)
        else (message_of("user", value, field),)
    )


def _answer(value: Any, field: str) -> Turns:
    if isinstance(value, list):
        return messages_of(value, field)
    if isinstance(value, Mapping):
        return (turn_of(value, field),)
    return (message_of("assistant", value, field),)


def _check_prompt(messages: Turns) -> None:
    if not any(message.role == "user" for message in messages):
        raise UnusableRowError("no_question", "there is no turn of the user before the answer")
    if messages[-1].role not in ("user", "tool"):
        raise UnusableRowError("no_question", f"the answer follows the {messages[-1].role}'s turn")


def _first(record: Fields, names: Sequence[str]) -> str | None:
    return next((name for name in names if record.has(name)), None)


def _unknown(record: Fields, shapes: str) -> UnusableRowError:
    has = ", ".join(sorted(str(name) for name in record if record.has(name))) or "no field"
    return UnusableRowError("unknown_shape", f"it has {has}; understood are {shapes}")
