"""Log-probabilities a model gives to tokens, many sequences at once.

Sequences of like length share a batch and are padded on the right, which causal attention cannot
see: what a sequence gets does not depend on its neighbours, rounding aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llm.model.transformer import Transformer

# Rows of logits made at once: 1024 x a vocabulary of 32,768 in float32 are 128 MiB.
_ROWS = 1024

Report = Callable[[int, int], None]  # sequences done, sequences in all


class SequenceTooLongError(ValueError):
    """A sequence does not fit the model's context."""


def batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices in groups of at most `batch_tokens` padded tokens (one at least), longest first."""
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    found: list[list[int]] = []
    for index in order:
        if found and (len(found[-1]) + 1) * lengths[found[-1][0]] <= batch_tokens:
            found[-1].append(index)
        else:
            found.append([index])
    return found


def token_logprobs(
    model: Transformer, sequences: Sequence[Sequence[int]], batch_tokens: int, report: Report
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """For each sequence its index and log p(token | those before it) of all tokens but the first.

    In natural logarithms, computed from float32 logits. The order is that of the batches.

    Raises:
        SequenceTooLongError: one has more than context + 1 tokens.
    """
    context = model.architecture.context
    lengths = [len(sequence) - 1 for sequence in sequences]
    for index, length in enumerate(lengths):
        if length > context:
            raise SequenceTooLongError(
                f"sequence {index} has {length + 1} tokens; a model with a context of {context} "
                f"can score {context + 1}; cut it into windows or leave it out"
            )
    done = 0
    for batch in batches(lengths, batch_tokens):
        values = _batch_logprobs(model, [sequences[index] for index in batch])
        for index, row in zip(batch, values, strict=True):
            yield index, row
        done += len(batch)
        report(done, len(sequences))


@torch.inference_mode()
def _batch_logprobs(
    model: Transformer, sequences: Sequence[Sequence[int]]
) -> list[NDArray[np.float64]]:
    device = model.lm_head.weight.device
    lengths = [max(len(sequence) - 1, 0) for sequence in sequences]
    tokens = torch.zeros(len(sequences), max(lengths) + 1, dtype=torch.int64)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence)] = torch.as_tensor(np.asarray(sequence, dtype=np.int64))
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    tokens, real = tokens.to(device), real.to(device)
    if not max(lengths):
        return [np.empty(0) for _ in sequences]
    states, targets = model.hidden(tokens[:, :-1])[real], tokens[:, 1:][real]
    pieces = [
        _chosen(model, states[first : first + _ROWS], targets[first : first + _ROWS])
        for first in range(0, len(targets), _ROWS)
    ]
    flat = torch.cat(pieces).double().cpu().numpy()
    return np.split(flat, np.cumsum(lengths)[:-1])


def _chosen(model: Transformer, states: Tensor, targets: Tensor) -> Tensor:
    """float32 (N,): log-probabilities of targets (N,) after states (N, D)."""
    logits: Tensor = model.lm_head(states).float()
    return logits.gather(-1, targets[:, None]).squeeze(-1) - logits.logsumexp(-1)


def completion_logprobs(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    batch_tokens: int,
    report: Report,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum of the log-probabilities of each completion's tokens, and their number: both (rows,).

    Raises:
        SequenceTooLongError: a prompt and its completion do not fit the context.
        ValueError: a prompt or a completion is empty.
    """
    for index, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        if not prompt or not completion:
            raise ValueError(f"row {index} has an empty prompt or completion: nothing to score")
    sums = np.zeros(len(prompts))
    whole = [[*prompt, *answer] for prompt, answer in zip(prompts, completions, strict=True)]
    for index, values in token_logprobs(model, whole, batch_tokens, report):
        sums[index] = values[len(prompts[index]) - 1 :].sum()
    return sums, np.array([len(completion) for completion in completions], dtype=np.int64)
