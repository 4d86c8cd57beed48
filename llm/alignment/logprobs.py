"""Log-probabilities a model gives to chosen tokens of rows, in batches of rows of like length.

Padding is on the right, where a causal model's earlier positions cannot see it, so a row's result
is that of the row alone, up to the order of floating-point sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Logits = Callable[[Tensor], Tensor]
Report = Callable[[int], None]  # rows done


class UnscorableRowError(ValueError):
    """A row has no token to score, or its first token is to be scored."""


def completion_logprobs(
    logits: Logits,
    prompt_ids: Sequence[Sequence[int]],
    completion_ids: Sequence[Sequence[int]],
    batch_tokens: int,
    device: torch.device,
    report: Report = lambda _: None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum of the log-probabilities of each completion's tokens, and how many these are.

    Args:
        logits: token ids (B, T) int64 to logits (B, T, vocabulary); causal.
        batch_tokens: most tokens of a batch, padding included; a longer row is a batch alone.

    Returns:
        float64 (rows,) in nats, int64 (rows,), in the order given.

    Raises:
        UnscorableRowError: a prompt or a completion is empty; names the row.
    """
    pairs = list(zip(prompt_ids, completion_ids, strict=True))
    tokens = [[*prompt, *completion] for prompt, completion in pairs]
    masks = [[False] * len(prompt) + [True] * len(completion) for prompt, completion in pairs]
    return supervised_logprobs(logits, tokens, masks, batch_tokens, device, report)


@torch.no_grad()
def supervised_logprobs(
    logits: Logits,
    tokens: Sequence[Sequence[int]],
    supervised: Sequence[Sequence[bool]],
    batch_tokens: int,
    device: torch.device,
    report: Report = lambda _: None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The same over any chosen tokens of each row; arguments as of `completion_logprobs`."""
    for row, mask in enumerate(supervised):
        if not any(mask) or mask[0]:
            raise UnscorableRowError(
                f"row {row}: {sum(mask)} of {len(mask)} tokens are to be scored, the first "
                f"{'included' if mask[:1] == [True] else 'excluded'}; a row needs a prompt and "
                "at least one token behind it"
            )
    sums = np.zeros(len(tokens), dtype=np.float64)
    counts = np.array([sum(mask) for mask in supervised], dtype=np.int64)
    done = 0
    for rows in _batches([len(row) for row in tokens], batch_tokens):
        width = len(tokens[rows[-1]])
        ids = torch.zeros(len(rows), width, dtype=torch.int64)
        chosen = torch.zeros(len(rows), width, dtype=torch.bool)
        for place, row in enumerate(rows):
            ids[place, : len(tokens[row])] = torch.tensor(tokens[row])
            chosen[place, : len(tokens[row])] = torch.tensor(supervised[row])
        ids, targets = ids.to(device), chosen[:, 1:].to(device)
        # Only the positions asked for become float32 rows of the vocabulary's width.
        scored = logits(ids)[:, :-1][targets].float()
        found = F.log_softmax(scored, dim=-1).gather(-1, ids[:, 1:][targets][:, None])
        owners = targets.nonzero()[:, 0].cpu().numpy()
        np.add.at(sums, np.asarray(rows)[owners], found[:, 0].double().cpu().numpy())
        done += len(rows)
        report(done)
    return sums, counts


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Row numbers, shortest rows first; the last of a batch is its longest."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: (lengths[row], row)):
        if batch and lengths[row] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
