"""How well a model foresees validation answers: nats a token, the end of the turn included."""

from __future__ import annotations

from collections.abc import Sequence

from llm.evaluation.conversations import Exchange
from llm.evaluation.measure import COMPLETION_LOSS, Measure
from llm.foreign.model import AnyModel
from llm.model.scoring import Report, completion_logprobs


def completion_loss(
    model: AnyModel, exchanges: Sequence[Exchange], eval_batch_tokens: int, report: Report
) -> Measure:
    """Mean negative log-likelihood of an answer's token given prompt and answer so far."""
    prompts = [exchange.prompt for exchange in exchanges]
    answers = [exchange.answer for exchange in exchanges]
    device = model.device
    sums, counts = completion_logprobs(model, prompts, answers, eval_batch_tokens, device, report)
    ids = tuple(exchange.doc_id for exchange in exchanges)
    return Measure(COMPLETION_LOSS, ids, -sums, counts.astype(float))
