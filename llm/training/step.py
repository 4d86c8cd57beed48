"""One optimiser step: a batch cut into micro-batches, its gradient, the update.

Where memory does not suffice, micro-batches are halved and the same batch is done again; since
the loss is a sum over the tokens of the whole batch, the gradient is the same up to the order of
its sums. Batch and learning rate are never touched.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llm.model.transformer import Transformer
from llm.process.parent import Interrupted, StopRequest
from llm.tokens.token_file import TokenFile
from llm.training import devices, document_masks, optimisers, schedules
from llm.training.figures import PendingFigures
from llm.training.gradient_norms import NormGroups
from llm.training.guard import Guard
from llm.training.loss import IGNORED, Softmax, softmax, summed_loss
from llm.training.residual import narrow_residual
from llm.training.run_file import Optimisation
from llm.training.strategy import LeftTogether, Outcome, Strategy


@dataclass(frozen=True)
class Rows:
    """Some sequences on the device.

    Attributes:
        inputs, targets: int64 (B, T); padding is `IGNORED` in the targets.
        mask: as `document_masks` makes it, or none for plain causal attention.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor | None


def read_rows(
    tokens: TokenFile,
    split: str,
    rows: NDArray[np.int64],
    mask_kind: document_masks.Kind,
    device: torch.device,
) -> Rows:
    """Sequences of a split as tensors."""
    stored = tokens.train if split == "train" else tokens.validation
    values = torch.from_numpy(stored[rows].astype(np.int64))
    lengths = torch.from_numpy(tokens.lengths[split][rows].astype(np.int64))
    targets = values[:, 1:].clone()
    targets[torch.arange(1, values.shape[1])[None, :] >= lengths[:, None]] = IGNORED
    mask = None
    if mask_kind != "none":
        # A position belongs to the document of the token it predicts, so that the end of one text
        # opens the next, as it does where texts are scored one by one.
        segments = torch.from_numpy(tokens.segment_ids(split, rows))[:, 1:]
        make = document_masks.bounds if mask_kind == "bounds" else document_masks.dense
        mask = _send(make(segments), device)
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
        strategy: how the work is spread over processes.
        guard: judges steps.
        rate_share: of the learning rate, what is used.
    """

    def __init__(
        self,
        model: Transformer,
        o: Optimisation,
        tokens: TokenFile,
        device: torch.device,
        strategy: Strategy,
        micro_batch_rows: int,
        stop: StopRequest,
        softmax: Softmax = softmax,
    ) -> None:
        self._softmax = softmax
        self.model, self._o, self._tokens, self._stop = model, o, tokens, stop
        self._device, self.strategy = device, strategy
        share = -(-o.batch_rows // strategy.processes.count)
        self.micro_batch_rows = min(micro_batch_rows or share, share)
        self._mask_kind = document_masks.choose_kind(
            o.document_mask, device, o.precision, model.architecture
        )
        narrow_residual(model, device, o.precision)
        built = optimisers.build(model, o, strategy.orthogonaliser)
        self.optimisers = strategy.adopt(model, built)
        self.guard = Guard(o.outlier_sigmas, device)
        self.rate_share = 1.0
        self._parameters = list(model.parameters())
        self._groups = NormGroups(model, device)
        self._data_seconds = 0.0

    def __call__(self, step: int, rows: NDArray[np.int64]) -> PendingFigures:
        """Do step number `step` (from 0) on these rows, or leave it out if the guard says so.

        Raises:
            DoesNotFitError: one row does not fit into memory.
            Interrupted: asked to stop before the update; weights are those of before the step.
        """
        processes = self.strategy.processes
        mine = rows[processes.rank :: processes.count]
        share = -(-len(rows) // processes.count)
        lengths = self._tokens.lengths["train"][rows]
        # A row of one token predicts nothing; a batch of such rows has a loss of zero.
        tokens = max(1, int((lengths - 1).sum()))
        self._data_seconds = 0.0
        loss = processes.total(self._with_memory(lambda: self._gradients(mine, share, tokens)))
        norms = self.strategy.norms(self._parameters)
        norm = torch.linalg.vector_norm(norms)
        largest = self._o.clip or float("inf")
        self.strategy.clip(self._parameters, largest, norm)
        verdict = self.guard.judge(loss, norm)
        rate = self._o.learning_rate * schedules.share(step, self._o) * self.rate_share
        optimisers.set_learning_rate(self.optimisers, rate)
        optimisers.take_step(self.optimisers, verdict.skip)
        self.strategy.clear(self.model)
        values = (loss, norm, verdict.skip, verdict.limits, self._groups.norms(norms))
        return PendingFigures(values, self._groups.names, rate, tokens, self._data_seconds)

    def _gradients(self, rows: NDArray[np.int64], share: int, tokens: int) -> Tensor:
        """Accumulate the gradient of the mean loss; returns this process's share of the loss.

        Args:
            share: most rows a process has: all do as many pieces as that takes.
        """
        o, device = self._o, self._device
        loss = torch.zeros((), dtype=devices.widest(device), device=device)
        starts = range(0, share, self.micro_batch_rows)
        for start in starts:
            self.strategy.check(self._stop)
            piece = rows[start : start + self.micro_batch_rows]
            idle = not len(piece)  # a row less than the others, or fewer rows than processes
            piece = np.zeros(1, dtype=np.int64) if idle else piece
            began = time.perf_counter()
            batch = read_rows(self._tokens, "train", piece, self._mask_kind, device)
            self._data_seconds += time.perf_counter() - began
            if idle:
                batch.targets.fill_(IGNORED)
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
            self.strategy.backward(total / tokens, start == starts[-1])
            loss += nll.detach() / tokens
        return loss

    def _with_memory(self, work: Callable[[], Tensor]) -> Tensor:
        while True:
            outcome, done = self._attempt(work)
            if outcome is Outcome.DONE:
                assert done is not None
                return done
            if outcome is Outcome.STOPPED:
                self.strategy.clear(self.model)
                raise Interrupted
            self._halve()
            self.strategy.recover(self.model)
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _attempt(self, work: Callable[[], Tensor]) -> tuple[Outcome, Tensor | None]:
        """What all processes agree on, and what was done in this one."""
        done, outcome = None, Outcome.DONE
        try:
            with self.strategy.dropping(self._stop):
                done = work()
        except LeftTogether as agreed:
            return agreed.outcome, None
        except Interrupted:
            outcome = Outcome.STOPPED
        except devices.MEMORY_ERRORS as error:
            if not devices.is_out_of_memory(error):
                raise
            outcome = Outcome.NO_MEMORY
        self.strategy.reduce(self.model.parameters())
        try:
            return self.strategy.settle(self.model, outcome), done
        except devices.DoesNotFitError:
            self._halve()  # for the next start
            raise

    def _halve(self) -> None:
        if self.micro_batch_rows == 1:
            raise devices.DoesNotFitError(
                "one sequence at a time does not fit into memory; take a smaller model, "
                "shorter sequences or a larger machine"
            )
        self.micro_batch_rows = (self.micro_batch_rows + 1) // 2
