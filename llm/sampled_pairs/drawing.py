"""Answers to prompts, some prompts at a time: what is drawn and rewarded is kept, so that a run
that was killed goes on behind the last of these units.

What a prompt's answers are drawn with is a function of the seed and the prompt's tokens, whatever
else is asked beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm.alignment.rewards.journal import named_parts
from llm.alignment.rewards.rollout import Rollout
from llm.alignment.rewards.weighted import WeightedReward
from llm.alignment.rollouts import draw_each
from llm.foreign.model import AnyModel
from llm.model.batching import Ask
from llm.model.sampling import Sampling
from llm.tokens.chat import ChatEncoder

_UNIT = 16  # prompts between two files, and between two looks at whether to stop


@dataclass(frozen=True)
class Drawing:
    """How answers are drawn: settings as those of a run."""

    samples: int
    new_tokens: int
    temperature: float
    top_p: float
    seed: int


@dataclass(frozen=True)
class Sampled:
    """One answer to a prompt.

    Attributes:
        doc_id: of the prompt; sample: number of the answer among those to it.
        tokens: of the answer, the end of its turn included; finished: it ended its turn.
        reward: weighted sum of the parts.
        parts: name and value of each.
    """

    doc_id: str
    sample: int
    answer: str
    tokens: int
    finished: bool
    reward: float
    parts: list[dict[str, Any]]


def sampled(
    model: AnyModel,
    chat: ChatEncoder,
    prompts: Sequence[Mapping[str, Any]],
    how: Drawing,
    reward: WeightedReward | None,
    folder: Path,
    report: Callable[[int], None],
) -> Iterator[list[Sampled]]:
    """The answers to each unit of prompts, in order.

    Args:
        prompts: rows of PROMPT_ROWS.
        reward: none = every answer is worth 0.
        folder: of this run alone, where units are kept.
        report: is told how many prompts are done; may raise to stop.

    Raises:
        NonFiniteRewardError: see `WeightedReward.parts`.
    """
    for first in range(0, len(prompts), _UNIT):
        some = prompts[first : first + _UNIT]
        path = folder / f"{first:09d}.json"
        found = _kept(path, [row["doc_id"] for row in some])
        if found is None:
            report(first)
            found = _drawn(model, chat, some, how, reward)
            _keep(path, [row["doc_id"] for row in some], found)
        yield found
    report(len(prompts))


def seed_of(seed: int, prompt: Sequence[int]) -> int:
    """What answers to a prompt are drawn with: 63 bits of seed and tokens."""
    told = np.asarray([seed, *prompt], dtype="<i8").tobytes()
    return int.from_bytes(hashlib.sha256(told).digest()[:8], "little") >> 1


def _drawn(
    model: AnyModel,
    chat: ChatEncoder,
    prompts: Sequence[Mapping[str, Any]],
    how: Drawing,
    reward: WeightedReward | None,
) -> list[Sampled]:
    asked = [(row, sample) for row in prompts for sample in range(how.samples)]
    samplings = {
        row["doc_id"]: Sampling(
            how.temperature, 0, how.top_p, seed_of(how.seed, row["prompt_tokens"])
        )
        for row in prompts
    }
    answers = draw_each(
        model,
        [
            Ask(
                row["prompt_tokens"],
                how.new_tokens,
                frozenset(chat.stops),
                samplings[row["doc_id"]],
                stream=sample,
            )
            for row, sample in asked
        ],
    )
    rollouts = [
        Rollout(
            prompt=row["prompt"],
            answer=chat.decode(drawn.said),
            expected=row["expected"],
            tokens=len(drawn.tokens),
            finished=drawn.finished,
            conversation=(*row["prompt_tokens"], *drawn.tokens),
        )
        for (row, _), drawn in zip(asked, answers, strict=True)
    ]
    names = reward.names if reward else []
    weights = reward.weights if reward else np.zeros(0)
    given = reward.parts(rollouts) if reward else np.zeros((len(rollouts), 0))
    return [
        Sampled(
            row["doc_id"],
            sample,
            rollout.answer,
            rollout.tokens,
            rollout.finished,
            float(parts @ weights),
            named_parts(names, parts),
        )
        for (row, sample), rollout, parts in zip(asked, rollouts, given, strict=True)
    ]


def _kept(path: Path, ids: Sequence[str]) -> list[Sampled] | None:
    """What a file holds, if it is of these prompts."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return [Sampled(**one) for one in record["samples"]] if record["ids"] == list(ids) else None


def _keep(path: Path, ids: Sequence[str], found: Sequence[Sampled]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = path.with_suffix(".tmp")
    with waiting.open("w", encoding="utf-8") as file:
        json.dump({"ids": list(ids), "samples": [asdict(one) for one in found]}, file)
        file.flush()
        os.fsync(file.fileno())
    waiting.replace(path)
