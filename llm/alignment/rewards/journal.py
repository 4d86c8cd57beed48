"""Some of the answers of a run, kept step by step beside its checkpoints.

A step that is taken again after a kill draws the same answers and writes the same file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llm.alignment.rewards.rollout import Rollout
from llm.tables import ROLLOUTS

_A_STEP = 4  # answers kept of a step


class Journal:
    """Of one run.

    Args:
        folder: of this run alone.
        every: steps between those that are kept; the first is.
        names: of the rewards; weights: theirs, float64 (parts,).
    """

    def __init__(
        self, folder: Path, every: int, names: Sequence[str], weights: NDArray[np.float64]
    ) -> None:
        self._folder, self._every = folder, every
        self._names, self._weights = list(names), weights

    def keep(self, step: int, rollouts: Sequence[Rollout], parts: NDArray[np.float64]) -> None:
        """Keep some answers of a step, if it is one of those.

        Args:
            step: the first is 1.
            parts: what each reward gave, float64 (rollouts, parts).
        """
        if (step - 1) % self._every:
            return
        apart = max(1, len(rollouts) // _A_STEP)  # neighbours are answers to one prompt
        rows = [
            {
                "step": step,
                "prompt": rollout.prompt,
                "expected": rollout.expected,
                "answer": rollout.answer,
                "tokens": rollout.tokens,
                "finished": rollout.finished,
                "reward": float(given @ self._weights),
                "parts": named_parts(self._names, given),
            }
            for rollout, given in list(zip(rollouts, parts, strict=True))[::apart][:_A_STEP]
        ]
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{step:09d}.json"
        waiting = path.with_suffix(".tmp")
        waiting.write_text(json.dumps(rows), encoding="utf-8")
        waiting.replace(path)

    def table(self, steps: int) -> pa.Table:
        """ROLLOUTS of a run of so many steps."""
        rows: list[dict[str, Any]] = []
        for path in sorted(self._folder.glob("*.json")):
            if int(path.stem) <= steps:
                rows += json.loads(path.read_text(encoding="utf-8"))
        return pa.Table.from_pylist(rows, schema=ROLLOUTS)


def named_parts(names: Sequence[str], values: NDArray[np.float64]) -> list[dict[str, Any]]:
    """What each reward gave, as the tables hold it."""
    return [
        {"name": name, "value": float(value)} for name, value in zip(names, values, strict=True)
    ]
