"""Rewards that a rule decides: 1 for an answer that is right, or of the right form, else 0."""

from __future__ import annotations

import json
import re

from llm.alignment.rewards.rollout import Reward, RewardSettingError, Rollout, of_each
from llm.final_answers import FINAL, Parser, parse

_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)```", re.DOTALL)


def exact() -> Reward:
    """The answer is the expected one, white space around both aside."""
    return of_each(lambda rollout: rollout.answer.strip() == rollout.expected.strip())


def number() -> Reward:
    """The number after the last "####" is that of the expected answer; see `llm.final_answers`."""

    def judge(rollout: Rollout) -> bool:
        return FINAL in rollout.answer and _alike("number", rollout)

    return of_each(judge)


def letter() -> Reward:
    """The letter the answer settles on is that of the expected answer; see `llm.final_answers`."""
    return of_each(lambda rollout: _alike("letter", rollout))


def _alike(parser: Parser, rollout: Rollout) -> bool:
    given = parse(parser, rollout.answer)
    return given is not None and given == parse(parser, rollout.expected)


def pattern(expression: str) -> Reward:
    """A regular expression of Python is found in the answer.

    Raises:
        RewardSettingError: it is none.
    """
    compiled = _compiled(expression)
    return of_each(lambda rollout: compiled.search(rollout.answer) is not None)


def form(expression: str) -> Reward:
    """The whole answer matches a regular expression of Python ("." also matches a line's end), and
    it ended its turn.

    Raises:
        RewardSettingError: it is none.
    """
    compiled = _compiled(expression, re.DOTALL)

    def judge(rollout: Rollout) -> bool:
        return rollout.finished and compiled.fullmatch(rollout.answer.strip()) is not None

    return of_each(judge)


def _compiled(expression: str, flags: int = 0) -> re.Pattern[str]:
    try:
        return re.compile(expression, flags)
    except re.error as error:
        raise RewardSettingError(f"{expression!r} is no regular expression: {error}") from error


def json_schema(schema: str) -> Reward:
    """The answer, or the first fenced block in it, is JSON that a JSON Schema (draft 2020-12, or
    the one it names) accepts.

    Raises:
        RewardSettingError: it is no JSON, or no schema.
    """
    from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]
    from jsonschema.validators import Draft202012Validator, validator_for  # type: ignore[import-untyped]

    try:
        told = json.loads(schema)
        kind = validator_for(told, default=Draft202012Validator)
        kind.check_schema(told)
    except ValueError as error:
        raise RewardSettingError(f"the JSON schema is no JSON: {error}") from error
    except SchemaError as error:
        raise RewardSettingError(f"no JSON schema: {error.message}") from error
    validator = kind(told)

    def judge(rollout: Rollout) -> bool:
        fenced = _FENCED.search(rollout.answer)
        try:
            value = json.loads(fenced[1] if fenced else rollout.answer)
        except (ValueError, RecursionError):
            return False
        return bool(validator.is_valid(value))

    return of_each(judge)


def length(fewest: int, most: int) -> Reward:
    """1 for an answer of so many tokens, its turn's end included; less for each token below or
    beyond, to 0 for none and for twice as many as `most`.

    Raises:
        RewardSettingError: `fewest` exceeds `most`.
    """
    if not 0 <= fewest <= most or not most:
        raise RewardSettingError(
            f"no answer has at least {fewest} and at most {most} tokens; minimum and maximum are "
            "0 <= minimum <= maximum, and the latter above 0"
        )

    def judge(rollout: Rollout) -> float:
        if rollout.tokens < fewest:
            return rollout.tokens / fewest
        return max(0.0, 1.0 - max(0, rollout.tokens - most) / most)

    return of_each(judge)
