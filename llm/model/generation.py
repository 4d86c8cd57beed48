"""Text from a model: greedy or sampled, with a key-value cache."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from llm.errors import ExpectedError
from llm.model.transformer import Cache, Transformer


class SamplingError(ExpectedError, ValueError):
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
        lowest = scaled.topk(min(sampling.top_k, scaled.shape[-1]), dim=-1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < lowest, float("-inf"))
    if sampling.top_p < 1:
        ordered, places = scaled.sort(dim=-1, descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        beyond = before >= sampling.top_p
        beyond[:, 0] = False
        cut = torch.zeros_like(beyond).scatter(-1, places, beyond)
        scaled = scaled.masked_fill(cut, float("-inf"))
    chosen = torch.multinomial(scaled.softmax(-1), 1, generator=generator)
    return chosen.squeeze(-1).to(logits.device)


def generate(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    stop: Sequence[int],
    sampling: Sampling = GREEDY,
) -> list[list[int]]:
    """Continue each prompt by up to `max_new_tokens` tokens, ending at (and without) a stop token.

    Raises:
        ValueError: a prompt is empty or fills the context.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    for step in stream(model, prompts, max_new_tokens, stop, sampling):
        for row, token in step.items():
            answers[row].append(token)
    return answers


def stream(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    stop: Sequence[int],
    sampling: Sampling = GREEDY,
) -> Iterator[dict[int, int]]:
    """The same step by step: the next token of each prompt that goes on, by its place among them.

    All prompts are one batch, shorter ones padded on the left, where no row looks: what a row gets
    does not depend on its neighbours, up to the order of floating-point sums. Each prompt and its
    continuation stay within the model's context. Nothing is computed ahead of what is asked for.

    Raises:
        ValueError: a prompt is empty or fills the context.
    """
    context = model.architecture.context
    for index, prompt in enumerate(prompts):
        if not 0 < len(prompt) < context:
            raise ValueError(
                f"prompt {index} has {len(prompt)} tokens; 1 to {context - 1} "
                "leave room for an answer"
            )
    if not prompts:
        return iter(())
    rooms = [min(max_new_tokens, context - len(prompt)) for prompt in prompts]
    generator = torch.Generator().manual_seed(sampling.seed)
    return _steps(model, prompts, rooms, set(stop), sampling, generator)


@torch.inference_mode()
def _steps(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    rooms: Sequence[int],
    stop: set[int],
    sampling: Sampling,
    generator: torch.Generator,
) -> Iterator[dict[int, int]]:
    like = model.lm_head.weight
    longest = max(len(prompt) for prompt in prompts)
    padding = [longest - len(prompt) for prompt in prompts]
    rows = [[0] * pad + list(prompt) for pad, prompt in zip(padding, prompts, strict=True)]
    cache = Cache(model.architecture, len(rows), longest + max(rooms), like)
    left = {row: room for row, room in enumerate(rooms) if room > 0}
    tokens = torch.tensor(rows, device=like.device)
    mask = _beyond_padding(padding, longest, like.device) if any(padding) else None
    while left:
        with _kernels(like.device):
            logits = model(tokens, mask=mask, cache=cache)[:, -1]
        chosen = choose(logits, sampling, generator)
        made = {row: token for row, token in enumerate(chosen.tolist()) if row in left}
        ended = {row for row, token in made.items() if token in stop}
        left = {row: room - 1 for row, room in left.items() if row not in ended and room > 1}
        yield {row: token for row, token in made.items() if row not in ended}
        tokens = chosen[:, None]
        if any(padding):
            places = torch.arange(cache.length + 1, device=like.device)
            mask = (places >= torch.tensor(padding, device=like.device)[:, None])[:, None, None]


def _kernels(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Those of attention that take any length as it comes: on a GPU cuDNN's is planned anew for
    each, some 50 ms a token."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    others = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    return cast("contextlib.AbstractContextManager[object]", sdpa_kernel(others))


def _beyond_padding(padding: Sequence[int], length: int, device: torch.device) -> Tensor:
    """Causal and blind for the padding, bool (B, 1, T, T); a padded place sees itself alone, since
    a softmax over nothing is no number."""
    places = torch.arange(length, device=device)
    real = places >= torch.tensor(padding, device=device)[:, None]
    causal = places[:, None] >= places
    itself = places[:, None] == places
    return ((causal & real[:, None]) | itself)[:, None]
