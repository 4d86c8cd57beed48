"""Whether a model finds the better of two answers the more likely one."""

from __future__ import annotations

from collections.abc import Sequence

from llm.evaluation.conversations import Pair
from llm.evaluation.measure import CHOSEN_LOGPROB, PREFERENCE_ACCURACY, Measure, mean
from llm.foreign.model import AnyModel
from llm.model.scoring import Report, completion_logprobs


def preference_measures(
    model: AnyModel, pairs: Sequence[Pair], eval_batch_tokens: int, report: Report
) -> list[Measure]:
    """Over pairs: share with the chosen answer ahead, and log-probability of the chosen one.

    Both compare mean log-probabilities a token, so that a short answer has no advantage; a tie
    is no success. The second tells whether the share was bought by making all answers unlikely.
    """
    exchanges = [side for pair in pairs for side in (pair.chosen, pair.rejected)]
    sums, counts = completion_logprobs(
        model,
        [exchange.prompt for exchange in exchanges],
        [exchange.answer for exchange in exchanges],
        eval_batch_tokens,
        model.device,
        report,
    )
    means = (sums / counts).reshape(-1, 2)
    ids = tuple(pair.chosen.doc_id for pair in pairs)
    ahead = (means[:, 0] > means[:, 1]).astype(float)
    return [mean(PREFERENCE_ACCURACY, ids, ahead), mean(CHOSEN_LOGPROB, ids, means[:, 0])]
