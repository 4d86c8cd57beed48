"""How the next token is chosen from logits: settings, and the choice for rows at once."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from llm.errors import ExpectedError

# Candidates among which top_k and top_p are looked for before the whole vocabulary is sorted.
_CANDIDATES = 1024


class SamplingError(ExpectedError, ValueError):
    """A setting of sampling that means nothing; names it."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Biases come first, then penalties, then the temperature; of
    what that leaves top_k, top_p and min_p cut, in this order.

    Attributes:
        temperature: 0 = the most probable token.
        top_k: only the k most probable; 0 = all. Of equal ones the lower ids come first.
        top_p: only the smallest set that holds this probability (Holtzman et al. 2020); 1 = all.
            The most probable token is always in it, so that 0 leaves that one alone.
        min_p: only tokens at least this share as probable as the most probable one (Nguyen et al.
            2024); 0 = all.
        seed: of the draws.
        logit_bias: (token, what is added to its logit); infinities force or forbid.
        repetition_penalty: logits of tokens of the prompt and the answer are divided by it where
            positive, multiplied where negative (Keskar et al. 2019); 1 = none.
        presence_penalty: taken from logits of tokens that are in the answer.
        frequency_penalty: the same, for each time a token is in the answer.

    Raises:
        SamplingError: a setting is no number or out of its range; names it.
    """

    temperature: float
    top_k: int
    top_p: float
    seed: int
    min_p: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise SamplingError(f"temperature {self.temperature}: give a number of 0 or more")
        if self.top_k < 0:
            raise SamplingError(f"top_k {self.top_k}: give a number of tokens, or 0 for all")
        if not 0 <= self.top_p <= 1:
            raise SamplingError(f"top_p {self.top_p}: give a probability, 0 to 1")
        if not 0 <= self.min_p <= 1:
            raise SamplingError(f"min_p {self.min_p}: give a share, 0 to 1")
        if not 0 < self.repetition_penalty < math.inf:
            raise SamplingError(
                f"repetition_penalty {self.repetition_penalty}: give a number above 0; 1 = none"
            )
        for name in ("presence_penalty", "frequency_penalty"):
            if not math.isfinite(getattr(self, name)):
                raise SamplingError(f"{name} {getattr(self, name)}: give a number; 0 = none")
        for token, bias in self.logit_bias:
            if token < 0 or math.isnan(bias):
                raise SamplingError(f"logit_bias of {token}: {bias}; give a token and a number")

    @property
    def shifts(self) -> bool:
        """Whether logits are changed before one is chosen."""
        penalties = (self.repetition_penalty, self.presence_penalty, self.frequency_penalty)
        return bool(self.logit_bias) or penalties != (1.0, 0.0, 0.0)


GREEDY = Sampling(temperature=0.0, top_k=0, top_p=1.0, seed=0)


class Chooser:
    """What a row's next token depends on besides its logits.

    Args:
        prompt: tokens before the answer.
        stream: of rows that share a seed, which this is: each draws numbers of its own.
    """

    def __init__(self, sampling: Sampling, prompt: Sequence[int], stream: int = 0) -> None:
        self.sampling = sampling
        self._prompt = frozenset(prompt) if sampling.repetition_penalty != 1 else frozenset()
        self._answer: Counter[int] = Counter()
        self._random = random.Random(f"{sampling.seed}/{stream}")

    def draw(self) -> float:
        """The row's next random number, 0 to 1."""
        return self._random.random()

    def took(self, token: int) -> None:
        """A token was added to the answer."""
        if self.sampling.shifts:
            self._answer[token] += 1

    def shift(self, logits: Tensor) -> None:
        """Apply biases and penalties to logits (vocabulary,), in place."""
        s = self.sampling
        for token, bias in s.logit_bias:
            # Of a forced token the others are forbidden: nothing is subtracted from infinity.
            if bias == math.inf:
                logits[:] = -math.inf
            logits[token] = 0.0 if bias == math.inf else logits[token] + bias
        if s.repetition_penalty != 1:
            seen = torch.tensor(sorted(self._prompt | self._answer.keys()), device=logits.device)
            values = logits[seen]
            by = s.repetition_penalty
            logits[seen] = torch.where(values > 0, values / by, values * by)
        if self._answer and (s.presence_penalty or s.frequency_penalty):
            tokens = torch.tensor(list(self._answer), device=logits.device)
            counts = torch.tensor(list(self._answer.values()), device=logits.device)
            logits[tokens] -= s.presence_penalty + s.frequency_penalty * counts


def choose(logits: Tensor, rows: Sequence[Chooser]) -> list[int]:
    """The next token of each row, from logits (rows, vocabulary). What a row gets depends on its
    own logits alone."""
    if any(row.sampling.shifts for row in rows):
        logits = logits.clone()
        for at, row in enumerate(rows):
            if row.sampling.shifts:
                row.shift(logits[at])
    chosen = _greatest(logits)
    drawn = [at for at, row in enumerate(rows) if row.sampling.temperature > 0]
    if drawn:
        sampled = _draw(logits[drawn].cpu(), [rows[at] for at in drawn])
        for at, token in zip(drawn, sampled, strict=True):
            chosen[at] = token
    return chosen


def _greatest(logits: Tensor) -> list[int]:
    """The token with the greatest logit of each row; of equal ones the lowest id. On a CPU numpy's
    search takes a twentieth of the time of PyTorch's."""
    on_cpu = logits.device.type == "cpu"
    tokens: list[int] = (logits.float().numpy() if on_cpu else logits).argmax(-1).tolist()
    return tokens


def weights(logits: Tensor, rows: Sequence[Sampling]) -> Tensor:
    """What each row draws from: numbers (rows, vocabulary) that are to each other as the
    probabilities are, the greatest of a row 1, float64; biases and penalties are in the logits
    already."""
    wide = logits.double()
    # Relative to the greatest, and in float64, where a tiny temperature is not rounded to 0: what
    # overflows goes to -inf, a probability of 0, and never to a difference of infinities.
    scaled = wide - wide.amax(-1, keepdim=True)
    if any(row.temperature != 1 for row in rows):
        temperatures = torch.tensor([row.temperature for row in rows], dtype=torch.float64)
        scaled /= temperatures[:, None]
    if any(row.top_k or row.top_p < 1 for row in rows):
        scaled = _cut(scaled, rows)
    found = scaled.exp_()
    least = torch.tensor([row.min_p for row in rows], dtype=torch.float64)
    if least.any():
        found *= found >= least[:, None] * found.amax(-1, keepdim=True)
    return found


def _draw(logits: Tensor, rows: Sequence[Chooser]) -> list[int]:
    sums = weights(logits, [row.sampling for row in rows]).cumsum(-1)
    at = torch.tensor([row.draw() for row in rows], dtype=torch.float64)[:, None] * sums[:, -1:]
    # Up to and with the first sum above the number: never a token of probability 0.
    found = torch.searchsorted(sums, at, right=True).squeeze(-1)
    last = torch.searchsorted(sums, sums[:, -1:].contiguous()).squeeze(
        -1
    )  # rounding may pass the end
    # Where every token is forbidden, sums are no numbers.
    tokens: list[int] = torch.minimum(found, last).clamp(max=logits.shape[-1] - 1).tolist()
    return tokens


def _cut(scaled: Tensor, rows: Sequence[Sampling]) -> Tensor:
    """top_k and top_p: what is beyond is -inf."""
    size = scaled.shape[-1]
    ks = torch.tensor([min(row.top_k or size, size) for row in rows])[:, None]
    ps = torch.tensor([row.top_p for row in rows], dtype=torch.float64)[:, None]
    for among in sorted({min(_CANDIDATES, size), size}):
        if among < size:
            values, places = scaled.topk(among, dim=-1)
        else:
            values, places = scaled.sort(dim=-1, descending=True, stable=True)
        beyond = torch.arange(among) >= ks
        if (ps < 1).any():
            first = values.masked_fill(beyond, -math.inf)
            of_all, of_k = (part.logsumexp(-1, keepdim=True) for part in (scaled, first))
            whole = torch.where(ks < size, of_k, of_all)
            shares = (first - whole).exp()
            before = shares.cumsum(-1) - shares
            outside = before >= ps
            outside[:, 0] = False
            beyond |= outside & (ps < 1)
        cuts = (ks < size) | (ps < 1)
        # Of a row that has a shorter list to share out, the end of the list has to be known.
        unknown = (ks > among) & (ks < size) & (ps < 1)
        if among == size or bool(((beyond[:, -1:] & ~unknown) | ~cuts).all()):
            break
    kept = torch.full_like(scaled, -math.inf).scatter(
        -1, places, values.masked_fill(beyond, -math.inf)
    )
    return torch.where(cuts, kept, scaled)
