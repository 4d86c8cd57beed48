"""Text from a model: answers to prompts of any lengths, by `Batch`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from llm.model.batching import Ask, Batch, PromptLengthError
from llm.model.inference import LaysOut, Rows, lay_out
from llm.model.sampling import GREEDY, Sampling
from llm.model.transformer import Transformer

# Rows at once; more are no faster on a CPU, and their keys and values would have to fit.
_PLACES = 64


def generate(
    model: Transformer | LaysOut,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    stop: Sequence[int],
    sampling: Sampling = GREEDY,
    ended: Callable[[int, Sequence[int]], bool] | None = None,
) -> list[list[int]]:
    """Continue each prompt by up to `max_new_tokens` tokens, ending at (and without) a stop token.

    Each prompt and its continuation stay within the model's context. Rows that draw do so each
    with numbers of its own.

    Args:
        ended: given a prompt's place and its answer so far, whether the answer is to end there.

    Raises:
        PromptLengthError: a prompt is empty or fills the context.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    context = model.architecture.context
    for index, prompt in enumerate(prompts):
        if not 0 < len(prompt) < context:
            raise PromptLengthError(
                f"prompt {index} has {len(prompt)} tokens; 1 to {context - 1} "
                "leave room for an answer"
            )
    if not prompts:
        return answers
    longest = max(len(prompt) for prompt in prompts) + max(max_new_tokens, 1)
    batch = Batch(lay_out(model, min(len(prompts), _PLACES), min(context, longest)))
    for index, prompt in enumerate(prompts):
        batch.add(Ask(prompt, max_new_tokens, frozenset(stop), sampling, stream=index))
    while batch.running or batch.waiting:
        for made in batch.step():
            if made.token is None:
                continue
            answer = answers[made.number]
            answer.append(made.token)
            if ended is not None and made.ended is None and ended(made.number, answer):
                batch.cancel(made.number)
    return answers


def stream(
    inference: Rows,
    prompt: Sequence[int],
    max_new_tokens: int,
    stop: Sequence[int],
    sampling: Sampling = GREEDY,
) -> Iterator[int]:
    """The same for one prompt, token by token; nothing is computed ahead of what is asked for.

    Raises:
        PromptLengthError: the prompt is empty or fills the context.
    """
    batch = Batch(inference)
    number = batch.add(Ask(prompt, max_new_tokens, frozenset(stop), sampling))
    return _tokens(batch, number)


def _tokens(batch: Batch, number: int) -> Iterator[int]:
    try:
        while batch.running or batch.waiting:
            for made in batch.step():
                if made.token is not None:
                    yield made.token
    finally:
        batch.cancel(number)  # an answer that is broken off leaves its place
