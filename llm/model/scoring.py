"""Log-probabilities a model gives to chosen tokens of sequences, many sequences at once.

Sequences of like length share a batch and are padded on the right, where a causal model's earlier
positions cannot see it: what a sequence gets does not depend on its neighbours, up to the order of
floating-point sums. Only the positions asked for become rows of the vocabulary's width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llm.errors import ExpectedError

# Rows of logits made at once: 1024 x a vocabulary of 32,768 in float32 are 128 MiB.
_ROWS = 1024
# On a CPU, whose caches hold so much, more rows and more tokens a forward pass take longer.
_CPU_ROWS, _CPU_TOKENS = 256, 2048

Report = Callable[[int, int], None]  # sequences done, sequences in all
Tokens = Sequence[int] | NDArray[np.int32]


class Scorer(Protocol):
    """A causal language model in two halves; `Transformer` is one."""

    def hidden(self, tokens: Tensor, /) -> Tensor:
        """Final hidden states: int64 (B, T) -> (B, T, D)."""

    @property
    def lm_head(self) -> Callable[[Tensor], Tensor]:
        """Hidden states to logits: (N, D) -> (N, V)."""


class UnscorableSequenceError(ExpectedError, ValueError):
    """A sequence has no token to score, or its first token is to be scored."""


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
    model: Scorer,
    sequences: Sequence[Tokens],
    scored: Sequence[NDArray[np.bool_]],
    batch_tokens: int,
    device: torch.device,
    report: Report,
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """For each sequence its index and log p(token | those before it) of the tokens to be scored.

    In natural logarithms, computed from float32 logits. The order is that of the batches.

    Args:
        scored: of each sequence, which of its tokens; never the first, which nothing precedes.
        batch_tokens: most tokens of a batch, padding included; a longer sequence is one alone. On
            a CPU never more than 2,048.

    Raises:
        UnscorableSequenceError: a first token is to be scored; names the sequence.
    """
    for index, mask in enumerate(scored):
        if len(mask) and mask[0]:
            raise UnscorableSequenceError(
                f"sequence {index}: its first token is to be scored, which nothing precedes"
            )
    for index, values, _ in _scored(model, sequences, scored, batch_tokens, device, report, False):
        yield index, values


def _scored(
    model: Scorer,
    sequences: Sequence[Tokens],
    scored: Sequence[NDArray[np.bool_]],
    batch_tokens: int,
    device: torch.device,
    report: Report,
    greedy: bool,
) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.bool_]]]:
    """As above, and (where asked) whether each token is the most probable one at its place."""
    if device.type == "cpu":
        batch_tokens = min(batch_tokens, _CPU_TOKENS)
    done = 0
    for batch in batches([max(len(sequence) - 1, 0) for sequence in sequences], batch_tokens):
        chosen = [sequences[i] for i in batch], [scored[i] for i in batch]
        yield from zip(batch, *_batch(model, *chosen, device, greedy), strict=True)
        done += len(batch)
        report(done, len(sequences))


@torch.inference_mode()
def _batch(
    model: Scorer,
    sequences: Sequence[Tokens],
    scored: Sequence[NDArray[np.bool_]],
    device: torch.device,
    greedy: bool,
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.bool_]]]:
    counts = [int(mask.sum()) for mask in scored]
    if not sum(counts):
        return [np.empty(0) for _ in sequences], [np.empty(0, dtype=np.bool_) for _ in sequences]
    width = max(len(sequence) for sequence in sequences)
    tokens = torch.zeros(len(sequences), width, dtype=torch.int64)
    chosen = torch.zeros(len(sequences), width, dtype=torch.bool)
    for row, (sequence, mask) in enumerate(zip(sequences, scored, strict=True)):
        tokens[row, : len(sequence)] = torch.as_tensor(np.asarray(sequence, dtype=np.int64))
        chosen[row, : len(sequence)] = torch.as_tensor(np.asarray(mask))
    tokens, chosen = tokens.to(device), chosen[:, 1:].to(device)
    states, targets = model.hidden(tokens[:, :-1])[chosen], tokens[:, 1:][chosen]
    pieces, likeliest = [], []
    rows = _CPU_ROWS if device.type == "cpu" else _ROWS
    for start in range(0, len(targets), rows):
        piece = slice(start, start + rows)
        logits = model.lm_head(states[piece]).float()
        pieces.append(logits.gather(-1, targets[piece, None])[:, 0] - logits.logsumexp(-1))
        if greedy:
            likeliest.append(logits.argmax(-1) == targets[piece])
    ends = np.cumsum(counts)[:-1]
    found = torch.cat(likeliest).cpu().numpy() if greedy else np.zeros(len(targets), np.bool_)
    return np.split(torch.cat(pieces).double().cpu().numpy(), ends), np.split(found, ends)


def summed_logprobs(
    model: Scorer,
    sequences: Sequence[Tokens],
    scored: Sequence[NDArray[np.bool_]],
    batch_tokens: int,
    device: torch.device,
    report: Report,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum of the log-probabilities of each sequence's scored tokens, and how many these are.

    Returns:
        float64 (sequences,) in nats, int64 (sequences,), in the order given.

    Raises:
        UnscorableSequenceError: as above, or a sequence has nothing to score; names it.
    """
    counts = np.array([int(mask.sum()) for mask in scored], dtype=np.int64)
    if not counts.all():
        raise _nothing_to_score(int(np.argmin(counts != 0)))
    sums = np.zeros(len(sequences), dtype=np.float64)
    for index, values in token_logprobs(model, sequences, scored, batch_tokens, device, report):
        sums[index] = values.sum()
    return sums, counts


def completion_logprobs(
    model: Scorer,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    batch_tokens: int,
    device: torch.device,
    report: Report,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """`summed_logprobs` of what follows each prompt."""
    sequences, scored = _joined(prompts, completions)
    return summed_logprobs(model, sequences, scored, batch_tokens, device, report)


def greedy_completions(
    model: Scorer,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    batch_tokens: int,
    device: torch.device,
    report: Report,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """`completion_logprobs`, and whether each completion is what greedy decoding would begin with.

    Returns:
        float64 (completions,) in nats, bool (completions,).

    Raises:
        UnscorableSequenceError: a prompt or a completion is empty; names the sequence.
    """
    for place, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        if not (prompt and completion):
            raise _nothing_to_score(place)
    sequences, scored = _joined(prompts, completions)
    sums, greedy = np.zeros(len(sequences)), np.zeros(len(sequences), dtype=np.bool_)
    for index, values, likeliest in _scored(
        model, sequences, scored, batch_tokens, device, report, True
    ):
        sums[index], greedy[index] = values.sum(), likeliest.all()
    return sums, greedy


def _joined(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
) -> tuple[list[list[int]], list[NDArray[np.bool_]]]:
    """Prompts with what follows them, and which of their tokens are to be scored: the latter."""
    pairs = list(zip(prompts, completions, strict=True))
    scored = [np.arange(len(p) + len(c)) >= len(p) for p, c in pairs]
    return [[*prompt, *completion] for prompt, completion in pairs], scored


def _nothing_to_score(sequence: int) -> UnscorableSequenceError:
    return UnscorableSequenceError(
        f"sequence {sequence} has no token to be scored; it needs a prompt and at least one token "
        "behind it"
    )
