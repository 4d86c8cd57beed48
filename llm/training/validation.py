"""Loss and bits per byte on validation sequences."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from llm.model.transformer import Transformer
from llm.process.parent import StopRequest
from llm.tokens.token_bytes import token_bytes
from llm.tokens.token_file import TokenFile
from llm.training import devices
from llm.training.document_masks import choose_kind
from llm.training.loss import IGNORED, token_losses
from llm.training.run_file import Optimisation
from llm.training.step import read_rows
from llm.training.strategy import Strategy, measuring


class Validation:
    """Measures a model on the first validation sequences.

    Args:
        tokenizer: folder with tokenizer.json, whose tokens' bytes are divided by.
        stop: ends a measurement, which is then made by the next start.

    Attributes:
        rows: sequences measured; 0 = there are none, and nothing is measured.
    """

    def __init__(
        self,
        tokens: TokenFile,
        o: Optimisation,
        tokenizer: Path,
        device: torch.device,
        stop: StopRequest,
    ) -> None:
        self._tokens, self._o, self._device, self._stop = tokens, o, device, stop
        self.rows = min(o.validation_rows, len(tokens.validation))
        lengths = [len(content) for content in token_bytes(tokenizer / "tokenizer.json")]
        lengths += [0] * (tokens.vocabulary_size - len(lengths))
        self._bytes = torch.tensor(lengths, device=device)

    @torch.no_grad()
    def __call__(
        self, model: Transformer, micro_batch_rows: int, strategy: Strategy
    ) -> dict[str, float]:
        """validation_loss (nats a token) and validation_bits_per_byte.

        The end-of-text token costs its bits and stands for no byte.

        Raises:
            Interrupted: asked to stop meanwhile.
        """
        if not self.rows:
            return {}
        sums = torch.zeros(3, dtype=devices.widest(self._device), device=self._device)
        processes = strategy.processes
        mine = np.arange(self.rows)[processes.rank :: processes.count]
        share = -(-self.rows // processes.count)  # all do as many pieces as the most rows take
        with measuring(strategy, model, self._stop):
            for start in range(0, share, micro_batch_rows):
                strategy.check(self._stop)
                rows = mine[start : start + micro_batch_rows]
                sums += self._measure(model, rows, micro_batch_rows)
        nll, tokens, size = processes.total(sums).tolist()
        return {
            "validation_loss": nll / tokens if tokens else float("nan"),
            "validation_bits_per_byte": nll / math.log(2) / size if size else float("nan"),
        }

    def _measure(
        self, model: Transformer, rows: NDArray[np.int64], micro_batch_rows: int
    ) -> torch.Tensor:
        """(3,): sums of loss, tokens and bytes."""
        # One shape for all, filled up with row 0: another one would compile the blocks again.
        filled = np.concatenate([rows, np.zeros(micro_batch_rows - len(rows), dtype=np.int64)])
        kind = choose_kind(
            self._o.document_mask, self._device, self._o.precision, model.architecture
        )
        batch = read_rows(self._tokens, "validation", filled, kind, self._device)
        targets = batch.targets.clone()
        targets[len(rows) :] = IGNORED
        with devices.autocast(self._device, self._o.precision):
            hidden = model.hidden(batch.inputs, batch.mask)
        weight = model.lm_head.weight.to(devices.dtype(self._o.precision))
        losses = token_losses(hidden.flatten(0, 1), weight, targets.flatten())
        counted = targets[targets != IGNORED]
        wide = devices.widest(self._device)
        size = self._bytes[counted].sum().to(wide)
        return torch.stack((losses.sum(dtype=wide), size.new_tensor(counted.numel()), size))
