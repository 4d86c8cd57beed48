"""One optimiser step: a batch cut into micro-batches, its gradient, the update.

Where memory does not suffice, micro-batches are halved and the same batch is done again; since
the loss is a sum over the tokens of the whole batch, the gradient is the same up to the order of
its sums. Batch and learning rate are never touched.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llm.model.transformer import Transformer
from llm.process.parent import Interrupted, StopRequest
from llm.tokens.token_file import TokenFile
from llm.training import devices, optimisers, schedules
from llm.training.distributed import Processes
from llm.training.divergence import NonFiniteLossError
from llm.training.loss import IGNORED, Softmax, softmax, summed_loss
from llm.training.run_file import Optimisation


@dataclass(frozen=True)
class Rows:
    """Some sequences on the device.

    Attributes:
        inputs, targets: int64 (B, T); padding is `IGNORED` in the targets.
        mask: bool (B, 1, T, T), or none for plain causal attention.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor | None


def read_rows(
    tokens: TokenFile,
    split: str,
    rows: NDArray[np.int64],
    document_mask: bool,
    device: torch.device,
) -> Rows:
    """Sequences of a split as tensors."""
    stored = tokens.train if split == "train" else tokens.validation
    values = torch.from_numpy(stored[rows].astype(np.int64))
    lengths = torch.from_numpy(tokens.lengths[split][rows].astype(np.int64))
    targets = values[:, 1:].clone()
    targets[torch.arange(1, values.shape[1])[None, :] >= lengths[:, None]] = IGNORED
    mask = None
    if document_mask:
        # A position belongs to the document of the token it predicts, so that the end of one text
        # opens the next, as it does where texts are scored one by one.
        segment = torch.from_numpy(tokens.segment_ids(split, rows))[:, 1:]
        same = segment[:, None, :, None] == segment[:, None, None, :]
        mask = _send(same & torch.ones(same.shape[-2:], dtype=torch.bool).tril(), device)
    return Rows(_send(values[:, :-1].contiguous(), device), _send(targets, device), mask)


def _send(values: Tensor, device: torch.device) -> Tensor:
    """On the device; a GPU copies from pinned memory while it computes."""
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


class Stepper:
    """Does steps.

    Args:
        micro_batch_rows: at once in this process; 0 = all of its share.
        stop: ends a step before it has changed anything.
        softmax: `loss.softmax`, or what it was compiled to.

    Attributes:
        micro_batch_rows: what memory turned out to allow.
    """

    def __init__(
        self,
        model: Transformer,
        o: Optimisation,
        tokens: TokenFile,
        device: torch.device,
        processes: Processes,
        micro_batch_rows: int,
        stop: StopRequest,
        softmax: Softmax = softmax,
    ) -> None:
        self._softmax = softmax
        self.model, self._o, self._tokens, self._stop = model, o, tokens, stop
        self._device, self._processes = device, processes
        share = -(-o.batch_rows // processes.count)
        self.micro_batch_rows = min(micro_batch_rows or share, share)
        self.optimisers = optimisers.build(model, o)

    def __call__(self, step: int, rows: NDArray[np.int64]) -> dict[str, float]:
        """Do step number `step` (from 0) on these rows.

        Returns:
            loss (nats a token), gradient_norm, learning_rate, tokens.

        Raises:
            NonFiniteLossError: the update would not be a number.
            DoesNotFitError: one row does not fit into memory.
            Interrupted: asked to stop before the update; weights are those of before the step.
        """
        mine = rows[self._processes.rank :: self._processes.count]
        lengths = self._tokens.lengths["train"][rows]
        # A row of one token predicts nothing; a batch of such rows has a loss of zero.
        tokens = max(1, int((lengths - 1).sum()))
        loss = self._with_memory(lambda: self._gradients(mine, tokens))
        parameters = list(self.model.parameters())
        self._processes.sum_gradients(parameters)
        total = float(self._processes.total(loss).item())
        largest = self._o.clip or float("inf")
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, largest).item())
        if not np.isfinite(total) or not np.isfinite(norm):
            raise NonFiniteLossError(
                f"step {step + 1}: loss {total}, gradient norm {norm}. Lower the learning rate, "
                "lengthen the warm-up, or keep QK norm and clipping on"
            )
        rate = self._o.learning_rate * schedules.share(step, self._o)
        optimisers.set_learning_rate(self.optimisers, rate)
        for optimiser in self.optimisers:
            optimiser.step()
        self.model.zero_grad(set_to_none=True)
        return {
            "loss": total,
            "gradient_norm": norm,
            "learning_rate": rate,
            "tokens": float(tokens),
        }

    def _gradients(self, rows: NDArray[np.int64], tokens: int) -> Tensor:
        """Accumulate the gradient of the mean loss; returns this process's share of the loss."""
        o, device = self._o, self._device
        loss = torch.zeros((), dtype=devices.widest(device), device=device)
        for piece in _split(rows, self.micro_batch_rows):
            self._stop.check()
            batch = read_rows(self._tokens, "train", piece, o.document_mask, device)
            with devices.autocast(device, o.precision):
                hidden = self.model.hidden(batch.inputs, batch.mask)
            total, nll = summed_loss(
                hidden.flatten(0, 1),
                self.model.lm_head.weight,
                batch.targets.flatten(),
                o.z_loss,
                devices.dtype(o.precision),
                self._softmax,
            )
            (total / tokens).backward()  # type: ignore[no-untyped-call]
            loss += nll.detach() / tokens
        return loss

    def _with_memory(self, work: Callable[[], Tensor]) -> Tensor:
        while True:
            done: Tensor | None = None
            dropped = False
            try:
                with self._stop.may_drop():
                    done = work()
            except Interrupted:
                dropped = True
            except devices.MEMORY_ERRORS as error:
                if not devices.is_out_of_memory(error):
                    raise
            if not self._processes.any(done is None, self._device):
                assert done is not None
                return done
            self.model.zero_grad(set_to_none=True)
            if self._processes.any(dropped, self._device):
                raise Interrupted
            if self.micro_batch_rows == 1:
                raise devices.DoesNotFitError(
                    "one sequence at a time does not fit into memory; take a smaller model, "
                    "shorter sequences or a larger machine"
                )
            self.micro_batch_rows = (self.micro_batch_rows + 1) // 2
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()


def _split(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
