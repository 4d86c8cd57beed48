"""Several answers to one prompt with a score or a rank each: the best against the worst.

| answers in | a list of texts or messages, or of objects with a text |
| by | a list beside them, or a field of each object |

A score is the better the higher, a rank the better the lower. Rows that name a chosen and a
rejected answer may have the score of either beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from llm.alignment.examples.fields import Fields
from llm.alignment.examples.messages import UnusableRowError

SHAPES = (
    "prompt or instruction with responses (texts) and scores or ranks, "
    "completions [{response, score}]"
)
_ANSWERS = ("responses", "completions", "answers", "candidates", "outputs")
_TEXTS = ("response", "text", "content", "completion", "answer", "output", "messages")
# By name, whether more is better.
_BESIDE = {"scores": True, "ratings": True, "ranks": False, "rank": False}
_WITHIN = {"score": True, "overall_score": True, "rating": True, "rank": False}


def best_and_worst(fields: Fields) -> tuple[Any, Any] | None:
    """The answers that are ranked first and last, as they stand there; none where none are.

    Raises:
        UnusableRowError: "wrong_type", or "same_scores": none is better than another.
    """
    name = next((name for name in _ANSWERS if isinstance(fields.peek(name), list)), None)
    if name is None:
        return None
    answers = fields[name]
    beside = next((n for n in _BESIDE if isinstance(fields.peek(n), list)), None)
    if beside is not None:
        values = [_number(value, f"{beside}[{at}]") for at, value in enumerate(fields[beside])]
        if len(values) != len(answers):
            detail = f"{name} has {len(answers)} answers, {beside} {len(values)} numbers"
            raise UnusableRowError("wrong_type", detail)
        texts = [_text(one, f"{name}[{at}]") for at, one in enumerate(answers)]
        more = _BESIDE[beside]
    else:
        scored = [_scored(one, f"{name}[{at}]") for at, one in enumerate(answers)]
        if any(one is None for one in scored):
            return None
        known = [one for one in scored if one is not None]
        texts, values = [text for text, _, _ in known], [value for _, value, _ in known]
        more = all(better for _, _, better in known)
    if len(texts) < 2 or len(set(values)) == 1:
        raise UnusableRowError("same_scores", f"no answer of {name} is better than another")
    order = sorted(range(len(values)), key=lambda at: values[at], reverse=more)
    best = order[0]
    # Of several last ones the first, as of several first ones.
    worst = min(at for at in order if values[at] == values[order[-1]])
    return texts[best], texts[worst]


def check_scores(fields: Fields) -> None:
    """Make sure that the scores beside a chosen and a rejected answer say the same.

    Raises:
        UnusableRowError: "same_scores", or "scores_contradict": the rejected answer's is higher.
    """
    for names in (("score_chosen", "score_rejected"), ("chosen_score", "rejected_score")):
        if all(fields.has(name) for name in names):
            chosen, rejected = (_number(fields[name], name) for name in names)
            if chosen == rejected:
                raise UnusableRowError("same_scores", f"both answers have {chosen:g}")
            if chosen < rejected:
                detail = f"chosen has {chosen:g}, rejected {rejected:g}"
                raise UnusableRowError("scores_contradict", detail)


def _scored(answer: Any, where: str) -> tuple[Any, float, bool] | None:
    if not isinstance(answer, Mapping):
        return None
    name = next((name for name in _WITHIN if answer.get(name) is not None), None)
    if name is None:
        return None
    return _text(answer, where), _number(answer[name], f"{where}.{name}"), _WITHIN[name]


def _text(answer: Any, where: str) -> Any:
    """An answer's text or messages."""
    if isinstance(answer, str) or (isinstance(answer, Sequence) and answer):
        return answer
    if isinstance(answer, Mapping):
        name = next((name for name in _TEXTS if answer.get(name) is not None), None)
        if name is not None:
            return answer[name]
    raise UnusableRowError("wrong_type", f"{where} is no text, and has none")


def _number(value: Any, where: str) -> float:
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise UnusableRowError("wrong_type", f"{where} is {value!r}, expected a number")
    return found
