"""Whether an answer is marked as one to give or one to avoid, by whichever name and spelling.

| said by | a field of the row, of an object in such a field, or of the last message |
| good | true, 1, +1, up, thumbs_up, 👍, like, upvote, good, yes, positive, desirable, accept |
| bad | false, 0, -1, down, 👎, dislike, downvote, bad, no, negative, undesirable, reject |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llm.alignment.examples.fields import Fields
from llm.alignment.examples.messages import UnusableRowError

# Names that mean nothing else. By each, whether what it holds says that the answer is good.
THUMBS = {
    "thumb": True,
    "thumbs": True,
    "thumbs_up": True,
    "thumb_up": True,
    "thumbs_down": False,
    "thumb_down": False,
    "upvoted": True,
    "downvoted": False,
    "liked": True,
    "disliked": False,
    "desirable": True,
    "undesirable": False,
    "kto_tag": True,
}
# Where thumbs are looked for, these are thumbs as well.
_NAMES = {**THUMBS, "label": True, "feedback": True, "vote": True, "reaction": True, "rating": True}
_WITHIN = {**_NAMES, "score": True, "value": True}  # of an object under one of those
_GOOD = frozenset(
    [
        "true",
        "1",
        "1.0",
        "+1",
        "up",
        "thumbsup",
        "thumbup",
        "👍",
        "like",
        "liked",
        "upvote",
        "upvoted",
        "good",
        "yes",
        "positive",
        "desirable",
        "accept",
        "accepted",
        "chosen",
    ]
)
_BAD = frozenset(
    [
        "false",
        "0",
        "0.0",
        "-1",
        "-1.0",
        "down",
        "thumbsdown",
        "thumbdown",
        "👎",
        "dislike",
        "disliked",
        "downvote",
        "downvoted",
        "bad",
        "no",
        "negative",
        "undesirable",
        "reject",
        "rejected",
    ]
)
_TONES = re.compile("[\U0001f3fb-\U0001f3ff\ufe0f:]")  # of a hand's skin; colons round :+1:
_BETWEEN = re.compile(r"[\s_-]+")
_CONVERSATIONS = ("messages", "conversations", "completion")


def is_good(value: Any) -> bool | None:
    """What a mark says; `None` of anything that is none."""
    if isinstance(value, (bool, int, float)):
        return bool(value > 0) if value in (1, 0, -1) else None
    if not isinstance(value, str):
        return None
    word = _TONES.sub("", value).strip().casefold()
    if any(letter.isalpha() for letter in word):
        word = _BETWEEN.sub("", word)
    return True if word in _GOOD else False if word in _BAD else None


def thumb_in(fields: Fields) -> bool:
    """What a row says of its answer: true for a thumb up.

    Raises:
        UnusableRowError: "no_thumb", "unknown_thumb" or "thumbs_contradict".
    """
    said: dict[str, bool] = {}
    for name, value, meaning in _marks(fields):
        found = is_good(value)
        if found is None:
            raise UnusableRowError(
                "unknown_thumb", f"{name} is {value!r}, which is no thumb up or down"
            )
        said[name] = found is meaning
    if not said:
        raise UnusableRowError("no_thumb", f"nothing says how good it is ({', '.join(_NAMES)})")
    if len(set(said.values())) > 1:
        told = ", ".join(f"{name} says {'up' if up else 'down'}" for name, up in said.items())
        raise UnusableRowError("thumbs_contradict", told)
    return next(iter(said.values()))


def _marks(fields: Fields) -> Iterator[tuple[str, Any, bool]]:
    """Names of the row's marks, what they hold, and whether a good one says that it is good."""
    found = list(_of(fields, _NAMES))
    if not found:
        for name in _CONVERSATIONS:
            turns = fields.peek(name)
            if isinstance(turns, list) and turns and isinstance(turns[-1], Mapping):
                place = f"{name}[{len(turns) - 1}]."
                found = [(place + inner, *rest) for inner, *rest in _of(fields[name][-1], _NAMES)]
                break
    yield from found


def _of(fields: Fields, names: Mapping[str, bool]) -> Iterable[tuple[str, Any, bool]]:
    for name, meaning in names.items():
        if not fields.has(name):
            continue
        value = fields[name]
        if isinstance(value, Fields):
            inner = list(_of(value, _WITHIN))
            if inner:
                yield from ((f"{name}.{at}", held, means) for at, held, means in inner)
                continue
        yield name, value, meaning
