"""Rows that take steps together: when one ends, the next in line gets its place.

A row's result does not depend on its neighbours, up to the order of floating-point sums. Prompts
are taken in chunks between the steps of rows that are already answering, so that a long prompt
holds nobody up for longer than a chunk takes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Literal, cast

import torch
from torch import Tensor

from llm.errors import ExpectedError
from llm.model.inference import Rows
from llm.model.sampling import Chooser, Sampling, SamplingError, choose

Ended = Literal["stop", "length"]


class PromptLengthError(ExpectedError, ValueError):
    """A prompt is empty or fills the context."""


@dataclass(frozen=True)
class Ask:
    """A prompt to continue.

    Attributes:
        prompt: its tokens.
        max_new_tokens: of the answer at most; the context may leave fewer.
        stops: tokens that end it and are no part of it.
        runners_up: how many of the most probable tokens are told with each; none = not even the
            log-probability of the token itself.
        stream: see `Chooser`.
    """

    prompt: Sequence[int]
    max_new_tokens: int
    stops: frozenset[int]
    sampling: Sampling
    runners_up: int | None = None
    stream: int = 0


@dataclass(frozen=True)
class Scores:
    """Natural logarithms of the model's own probabilities, before any setting of sampling.

    Attributes:
        logprob: of the token that was chosen.
        most: (token, its log-probability), the most probable first.
    """

    logprob: float
    most: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Made:
    """What a step did for a row.

    Attributes:
        number: of the row, as `Batch.add` gave it.
        token: of its answer; none where it ended without one more.
        ended: why nothing follows.
        stop: the token that ended it and is no part of it.
    """

    number: int
    token: int | None
    ended: Ended | None
    scores: Scores | None = None
    stop: int | None = None


@dataclass
class _Row:
    number: int
    ask: Ask
    chooser: Chooser
    room: int
    taken: int = 0  # tokens of the prompt that are in
    last: list[int] = field(default_factory=list)  # the token that goes in next


class Batch:
    """Rows in the places of what is laid out, and those in line.

    The first places are those of rows that answer, without a gap; behind them come those whose
    prompt is being taken in.

    Args:
        chunk: tokens of prompts that go in at once.
    """

    def __init__(self, inference: Rows, chunk: int = 512) -> None:
        self._inference, self._chunk = inference, chunk
        self._numbers = count()
        self._line: deque[_Row] = deque()
        self._answering: list[_Row] = []
        self._entering: list[_Row] = []

    @property
    def running(self) -> int:
        """Rows that have a place."""
        return len(self._answering) + len(self._entering)

    @property
    def waiting(self) -> int:
        """Rows in line."""
        return len(self._line)

    @property
    def entering(self) -> bool:
        """Whether the next step takes a prompt in."""
        free = len(self._answering) < self._inference.places
        return bool(self._entering or (self._line and free))

    def add(self, ask: Ask) -> int:
        """Put a row in line; returns its number.

        Raises:
            PromptLengthError: the prompt is empty or leaves no room for an answer.
            SamplingError: a bias is for a token that the vocabulary lacks.
        """
        longest = self._inference.longest
        if not 0 < len(ask.prompt) < longest:
            raise PromptLengthError(
                f"the prompt has {len(ask.prompt)} tokens; 1 to {longest - 1} "
                "leave room for an answer"
            )
        self.check(ask.sampling)
        number = next(self._numbers)
        room = min(ask.max_new_tokens, longest - len(ask.prompt))
        chooser = Chooser(ask.sampling, ask.prompt, ask.stream)
        self._line.append(_Row(number, ask, chooser, room))
        return number

    def check(self, sampling: Sampling) -> None:
        """Make sure that settings fit the vocabulary.

        Raises:
            SamplingError: a bias is for a token that the vocabulary lacks.
        """
        size = self._inference.architecture.vocabulary_size
        for token, _ in sampling.logit_bias:
            if token >= size:
                raise SamplingError(f"logit_bias of {token}: the vocabulary has {size} tokens")

    def cancel(self, number: int) -> None:
        """Take a row out, wherever it is; a number that is gone is none to worry about."""
        self._line = deque(row for row in self._line if row.number != number)
        for rows in (self._answering, self._entering):
            for row in list(rows):
                if row.number == number:
                    self._leave(row)

    def step(self) -> list[Made]:
        """A token more for each row that answers, and a chunk of the prompts next in line."""
        made: list[Made] = []
        with torch.inference_mode():
            if self._answering:
                rows = list(self._answering)
                made += self._choose(rows, self._inference.extend([row.last for row in rows]))
            made += self._enter()
        return made

    def _enter(self) -> list[Made]:
        """Take in a chunk of the prompts that enter; rows whose prompt is in answer from then."""
        made = [Made(row.number, None, "length") for row in self._line if row.room <= 0]
        self._line = deque(row for row in self._line if row.room > 0)
        if not self._entering:
            self._admit()
        rows = list(self._entering)
        if not rows:
            return made
        # Several only where all of them fit into a chunk, see `_admit`.
        pieces = [row.ask.prompt[row.taken : row.taken + self._chunk] for row in rows]
        logits = self._inference.extend(pieces, first=len(self._answering))
        for row, piece in zip(rows, pieces, strict=True):
            row.taken += len(piece)
        if any(row.taken < len(row.ask.prompt) for row in rows):
            return made
        self._answering += rows
        self._entering = []
        return made + self._choose(rows, logits)

    def _admit(self) -> None:
        """Give free places to those next in line, as many as make one chunk together."""
        longest = 0
        while self._line and self.running < self._inference.places:
            longest = max(longest, len(self._line[0].ask.prompt))
            if self._entering and longest * (len(self._entering) + 1) > self._chunk:
                break
            self._entering.append(self._line.popleft())

    def _choose(self, rows: Sequence[_Row], logits: Tensor) -> list[Made]:
        tokens = choose(logits, [row.chooser for row in rows])
        scored = [at for at, row in enumerate(rows) if row.ask.runners_up is not None]
        scores = dict(zip(scored, _scores(logits, rows, tokens, scored), strict=True))
        made = []
        for at, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            if token in row.ask.stops:
                made.append(Made(row.number, None, "stop", stop=token))
                self._leave(row)
                continue
            row.chooser.took(token)
            row.room -= 1
            row.last = [token]
            made.append(Made(row.number, token, None if row.room else "length", scores.get(at)))
            if not row.room:
                self._leave(row)
        return made

    def _leave(self, row: _Row) -> None:
        """Free a row's place; the last one of its kind takes it, so that no gap is left."""
        entering = row in self._entering
        rows = self._entering if entering else self._answering
        first = len(self._answering) if entering else 0
        place = rows.index(row)
        last = rows.pop()
        self._inference.clear(first + place)
        if last is not row:
            rows[place] = last
            self._inference.move(first + len(rows), first + place)
        if not entering and self._entering:
            # Those who enter follow without a gap; the last of them has the nearest way.
            free, end = len(self._answering), len(self._answering) + len(self._entering)
            self._inference.move(end, free)
            self._entering.insert(0, self._entering.pop())


def _scores(
    logits: Tensor, rows: Sequence[_Row], tokens: Sequence[int], scored: Sequence[int]
) -> list[Scores]:
    if not scored:
        return []
    logprobs = logits[list(scored)].log_softmax(-1)
    asked = [cast("int", rows[at].ask.runners_up) for at in scored]
    most = logprobs.topk(min(max(asked), logits.shape[-1]), dim=-1)
    values, ids = most.values.tolist(), most.indices.tolist()
    return [
        Scores(
            float(logprobs[place, tokens[at]]),
            tuple(zip(ids[place][:wanted], values[place][:wanted], strict=True)),
        )
        for place, (at, wanted) in enumerate(zip(scored, asked, strict=True))
    ]
