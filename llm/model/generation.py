"""Text from a model: greedy or sampled, with a key-value cache."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from llm.model.transformer import Cache, Transformer


class SamplingError(ValueError):
    """A setting of sampling that means nothing; names it."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 = the most probable token.
        top_k: only the k most probable; 0 = all.
        top_p: only the smallest set that holds this probability (Holtzman et al. 2020); 1 = all.
            The most probable token is always in it, so that 0 leaves that one alone.
        seed: of the draws.

    Raises:
        SamplingError: the temperature is below 0 or no number, top_k below 0, top_p not within
            0 and 1.
    """

    temperature: float
    top_k: int
    top_p: float
    seed: int

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise SamplingError(f"temperature {self.temperature}: give a number of 0 or more")
        if self.top_k < 0:
            raise SamplingError(f"top_k {self.top_k}: give a number of tokens, or 0 for all")
        if not 0 <= self.top_p <= 1:
            raise SamplingError(f"top_p {self.top_p}: give a probability, 0 to 1")


GREEDY = Sampling(temperature=0.0, top_k=0, top_p=1.0, seed=0)


def choose(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """Next token ids (B,) from logits (B, vocabulary)."""
    if sampling.temperature <= 0:
        return logits.argmax(-1)
    # Relative to the greatest, and in float64, where a tiny temperature is not rounded to 0: what
    # overflows goes to -inf, a probability of 0, and never to a difference of infinities.
    wide = logits.cpu().double()
    scaled = (wide - wide.amax(-1, keepdim=True)) / sampling.temperature
    if sampling.top_k:
        least = scaled.topk(min(sampling.top_k, scaled.shape[-1]), dim=-1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < least, float("-inf"))
    if sampling.top_p < 1:
        ordered, places = scaled.sort(dim=-1, descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        beyond = before >= sampling.top_p
        beyond[:, 0] = False
        cut = torch.zeros_like(beyond).scatter(-1, places, beyond)
        scaled = scaled.masked_fill(cut, float("-inf"))
    chosen = torch.multinomial(scaled.softmax(-1), 1, generator=generator)
    return chosen.squeeze(-1).to(logits.device)


@torch.inference_mode()
def generate(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    most: int,
    stop: Sequence[int],
    sampling: Sampling = GREEDY,
) -> list[list[int]]:
    """Continue each prompt by up to `most` tokens, ending at (and without) a stop token.

    Prompts of equal length share a batch; no padding is involved, so a row's result does not
    depend on its neighbours. The prompt and its continuation stay within the model's context.

    Raises:
        ValueError: a prompt is empty or fills the context.
    """
    results: dict[int, list[int]] = {}
    lengths: dict[int, list[int]] = {}
    for index, prompt in enumerate(prompts):
        if not 0 < len(prompt) < model.architecture.context:
            raise ValueError(
                f"prompt {index} has {len(prompt)} tokens; 1 to {model.architecture.context - 1} "
                "leave room for an answer"
            )
        lengths.setdefault(len(prompt), []).append(index)
    generator = torch.Generator().manual_seed(sampling.seed)
    for length, indices in sorted(lengths.items()):
        batch = [list(prompts[index]) for index in indices]
        room = min(most, model.architecture.context - length)
        answers = _continue(model, batch, room, set(stop), sampling, generator)
        results.update(zip(indices, answers, strict=True))
    return [results[index] for index in range(len(prompts))]


def _continue(
    model: Transformer,
    batch: list[list[int]],
    most: int,
    stop: set[int],
    sampling: Sampling,
    generator: torch.Generator,
) -> list[list[int]]:
    device = model.lm_head.weight.device
    tokens = torch.tensor(batch, device=device)
    like = model.lm_head.weight
    cache = Cache(model.architecture, len(batch), tokens.shape[1] + most, like)
    answers: list[list[int]] = [[] for _ in batch]
    open_rows = set(range(len(batch)))
    logits = model(tokens, cache=cache)[:, -1]
    for step in range(most):
        chosen = choose(logits, sampling, generator)
        for row, token in enumerate(chosen.tolist()):
            if row in open_rows:
                if token in stop:
                    open_rows.discard(row)
                else:
                    answers[row].append(token)
        if not open_rows or step + 1 == most:
            break
        everything = torch.ones(1, 1, 1, cache.length + 1, dtype=torch.bool, device=device)
        logits = model(chosen[:, None], mask=everything, cache=cache)[:, -1]
    return answers
