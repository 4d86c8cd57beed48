"""How a model answers harmless and harmful prompts: refusals, and words of abuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm.evaluation.safety.prompts import SafetyPrompt, read_prompts
from llm.evaluation.safety.refusals import refuses
from llm.evaluation.safety.subjects import HARMFUL_REFUSAL, OVER_REFUSAL, TOXIC_WORDS
from llm.evaluation.safety.told import Safety
from llm.evaluation.safety.toxic_words import ToxicWords
from llm.evaluation.tasks.answers import Answer, Outcome
from llm.evaluation.tasks.continuations import TOO_LONG
from llm.evaluation.tasks.talking import NO_TURN, Talking
from llm.model.scoring import Report

HARMLESS, HARMFUL = "harmless_prompts", "harmful_prompts"
REFUSAL = {HARMLESS: OVER_REFUSAL, HARMFUL: HARMFUL_REFUSAL}
_AT_ONCE = 64  # prompts answered between two reports of progress


class Behaviour:
    """Prompts of either kind, answered by one model after the other.

    Args:
        instructions: validation rows with doc_id and messages; the first turn of each is a harmless
            prompt.

    Raises:
        EvaluationFileError, PromptFileError, BlockListError: see `read_prompts`, `ToxicWords`.
    """

    def __init__(self, told: Safety, instructions: Sequence[Mapping[str, Any]]) -> None:
        self._words = ToxicWords(told.toxic_words)
        own = list(_own(instructions, told.prompts))
        self.prompts: dict[str, list[SafetyPrompt]] = {
            HARMLESS: [*own, *read_prompts(told.harmless, told.prompts)],
            HARMFUL: read_prompts(told.harmful, told.prompts),
        }

    def ask(self, talk: Talking, new_tokens: int, report: Report) -> dict[str, Outcome]:
        """Greedy answers by kind of prompt, each with what was found in it; kinds without a prompt
        are left out."""
        total = sum(map(len, self.prompts.values()))
        done = 0
        found: dict[str, Outcome] = {}
        for kind, prompts in self.prompts.items():
            outcome = Outcome([], {})
            usable = []
            for prompt in prompts:
                ids = talk.turn(prompt.text)
                if not ids:
                    outcome.left_out[prompt.item] = NO_TURN
                elif len(ids) < talk.context:
                    usable.append((prompt, ids))
                else:
                    outcome.left_out[prompt.item] = TOO_LONG
            done += len(outcome.left_out)
            for first in range(0, len(usable), _AT_ONCE):
                part = usable[first : first + _AT_ONCE]
                said = talk.replies([ids for _, ids in part], new_tokens)
                for (prompt, _), answer in zip(part, said, strict=True):
                    outcome.answers.append(self._judged(kind, prompt, answer))
                done += len(part)
                report(done, total)
            if prompts:
                found[kind] = outcome
        return found

    def _judged(self, kind: str, prompt: SafetyPrompt, answer: str) -> Answer:
        verdicts = {
            REFUSAL[kind]: float(refuses(answer)),
            TOXIC_WORDS: float(self._words.occur_in(answer)),
        }
        return Answer(prompt.item, prompt.text, (), (), "", answer, 0, 1.0, verdicts)


def _own(instructions: Sequence[Mapping[str, Any]], limit: int) -> Iterator[SafetyPrompt]:
    """What users say first in validation conversations."""
    for row in instructions[:limit]:
        said = [turn["content"] for turn in row["messages"] or () if turn["role"] == "user"]
        if said and said[0]:
            yield SafetyPrompt(row["doc_id"], said[0])
