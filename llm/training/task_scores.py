"""How well the model in training does on tasks, measured in place between two steps.

Nothing is copied, saved or loaded. What batches there are depends on the items alone, not on
micro-batches or processes, and rows are drawn from nothing: figures are a function of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from llm.model.choosing import ACC, ACC_NORM, likeliest, likeliest_by_character, prefers_first
from llm.model.scoring import batches
from llm.model.transformer import Transformer
from llm.process.parent import StopRequest
from llm.training import devices
from llm.training.strategy import Strategy, measuring
from llm.training.task_items import Choice, TaskItems

# Padded tokens of a batch; on a CPU more of them take longer, see `llm/model/scoring.py`.
_CPU_TOKENS, _TOKENS = 2048, 8192


class TaskScores:
    """Measures a model on tasks.

    Args:
        precision: "bf16" or "fp32", of the blocks; logits are float32.
        stop: ends a measurement, which is then made by the next start.

    Attributes:
        names: of the figures.
    """

    def __init__(
        self,
        tasks: Sequence[TaskItems],
        device: torch.device,
        precision: str,
        stop: StopRequest,
    ) -> None:
        self._tasks, self._device, self._precision, self._stop = tasks, device, precision, stop
        self._choices = [choice for task in tasks for item in task.items for choice in item]
        limit = _CPU_TOKENS if device.type == "cpu" else _TOKENS
        self._batches = batches([len(choice.tokens) - 1 for choice in self._choices], limit)
        self.names = [
            f"{task.name}/{measure}" for task in tasks for measure in _JUDGES[task.kind][1]
        ]

    @torch.no_grad()
    def __call__(self, model: Transformer, strategy: Strategy) -> dict[str, float]:
        """Figures by name: of multiple choice acc and acc_norm, of minimal pairs acc.

        Raises:
            Interrupted: asked to stop meanwhile.
        """
        processes = strategy.processes
        logprobs = torch.zeros(len(self._choices), dtype=torch.float32, device=self._device)
        mine = self._batches[processes.rank :: processes.count]
        # All do as many pieces as the one with the most: blocks may be spread over them.
        pieces = -(-len(self._batches) // processes.count)
        # Compiled code is for the one shape of training rows; these have a shape each.
        with measuring(strategy, model, self._stop), torch.compiler.set_stance("force_eager"):
            for piece in range(pieces):
                strategy.check(self._stop)
                idle = piece >= len(mine)
                places = self._batches[0] if idle else mine[piece]
                found = self._score(model, [self._choices[place] for place in places])
                if not idle:
                    logprobs[places] = found
        return self._judged(processes.total(logprobs).tolist())

    def _score(self, model: Transformer, choices: Sequence[Choice]) -> Tensor:
        """float32 (choices,): log-probability of each continuation, in nats."""
        width = max(len(choice.tokens) for choice in choices)
        tokens = torch.zeros(len(choices), width, dtype=torch.int64)
        scored = torch.zeros(len(choices), width, dtype=torch.bool)
        for row, choice in enumerate(choices):
            end = len(choice.tokens)
            tokens[row, :end] = torch.tensor(choice.tokens)
            scored[row, end - choice.scored : end] = True
        tokens, scored = tokens.to(self._device), scored[:, 1:].to(self._device)
        with devices.autocast(self._device, self._precision):
            hidden = model.hidden(tokens[:, :-1])
        logits = linear(hidden[scored].float(), model.lm_head.weight.float())
        each = logits.log_softmax(-1).gather(-1, tokens[:, 1:][scored][:, None])[:, 0]
        rows = scored.nonzero()[:, 0]
        return torch.zeros(len(choices), device=self._device).index_add(0, rows, each)

    def _judged(self, logprobs: Sequence[float]) -> dict[str, float]:
        found: dict[str, float] = {}
        left = iter(logprobs)
        for task in self._tasks:
            judge, names = _JUDGES[task.kind]
            verdicts = [judge(item, [next(left) for _ in item]) for item in task.items]
            for name in names:
                right = sum(verdict[name] for verdict in verdicts)
                found[f"{task.name}/{name}"] = right / len(verdicts)
        return found


def _choice(item: Sequence[Choice], logprobs: Sequence[float]) -> Mapping[str, bool]:
    sizes = [choice.characters for choice in item]
    given, normed = likeliest(logprobs), likeliest_by_character(logprobs, sizes)
    return {ACC: item[given].right, ACC_NORM: item[normed].right}


def _pair(item: Sequence[Choice], logprobs: Sequence[float]) -> Mapping[str, bool]:
    return {ACC: prefers_first(logprobs)}


_Judge = Callable[[Sequence[Choice], Sequence[float]], Mapping[str, bool]]
_JUDGES: Mapping[str, tuple[_Judge, Sequence[str]]] = {
    "multiple_choice": (_choice, (ACC, ACC_NORM)),
    "minimal_pairs": (_pair, (ACC,)),
}
