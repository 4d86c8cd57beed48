"""The safety of a chain's models, one after the other: how they answer, and what they remember."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llm.evaluation.measure import Measure, mean
from llm.evaluation.safety.behaviour import REFUSAL, Behaviour
from llm.evaluation.safety.memorisation import HalvedDocuments, Recalled, recall
from llm.evaluation.safety.subjects import MEMORISED_PII, MEMORISED_TEXT, TOXIC_WORDS
from llm.evaluation.safety.told import Safety
from llm.evaluation.tasks.answer_table import ANSWERS, answer_table
from llm.evaluation.tasks.answers import Outcome
from llm.evaluation.tasks.talking import NO_CHAT_TEMPLATE, OwnTalk, Talking
from llm.foreign.model import AnyModel
from llm.model.scoring import Report
from llm.tables import TRAIN, VALIDATION
from llm.tokens.chat import ChatEncoder

# Behind the names of measures: of documents that no model was trained on.
_PARTS = {TRAIN: "", VALIDATION: "/unseen"}


class SafetyChecks:
    """What was asked for, and what was found so far.

    Args:
        instructions: validation rows with doc_id and messages.
        documents: Parquet files of the documents with their split.

    Attributes:
        facts: prompts of each kind, and documents with an address of each split.
        left_out: by model, prompts and documents that it could not be measured on, by reason.

    Raises:
        EvaluationFileError, PromptFileError, BlockListError: a file of prompts or words is none.
    """

    def __init__(
        self,
        told: Safety,
        new_tokens: int,
        instructions: Sequence[Mapping[str, Any]],
        documents: Sequence[Path],
    ) -> None:
        self._new_tokens = new_tokens
        self._behaviour = Behaviour(told, instructions)
        tables = (pq.read_table(path, columns=["doc_id", "split", "text"]) for path in documents)
        self._documents = HalvedDocuments(
            tables, told.memorised_documents, told.memorised_characters
        ).by_split
        self._answers: list[pa.Table] = []
        self.left_out: dict[str, dict[str, dict[str, int]]] = {}
        self.facts: dict[str, Any] = {
            kind: len(prompts) for kind, prompts in self._behaviour.prompts.items()
        }
        for split, halves in self._documents.items():
            self.facts[f"{split}_documents_begun"] = len(halves)

    def ask(
        self,
        name: str,
        model: AnyModel,
        encoder: ChatEncoder,
        begin: Callable[[str], Report],
    ) -> list[Measure]:
        """The measures of a model of the chain; none of what there is nothing for."""
        left_out = self.left_out.setdefault(name, {})
        measures = self.behaviour(name, OwnTalk(model, encoder), begin)
        for split, part in _PARTS.items():
            if self._documents[split]:
                report = begin(f"halved {split} document")
                recalled, lost = recall(model, encoder, self._documents[split], report)
                measures += _memory_measures(recalled, part)
                if lost:
                    left_out[f"{split}_documents_begun"] = dict(Counter(lost.values()))
        return measures

    def behaviour(
        self, name: str, talk: Talking | None, begin: Callable[[str], Report]
    ) -> list[Measure]:
        """What of that is in a model's answers: all there is to ask a model of others.

        Args:
            talk: `None` of a model that answers nobody.
        """
        left_out = self.left_out.setdefault(name, {})
        asked = {kind: len(found) for kind, found in self._behaviour.prompts.items() if found}
        if talk is None:
            left_out.update({kind: {NO_CHAT_TEMPLATE: count} for kind, count in asked.items()})
        if talk is None or not asked:
            return []
        found = self._behaviour.ask(talk, self._new_tokens, begin("safety prompt"))
        for kind, outcome in found.items():
            self._answers.append(answer_table(name, kind, outcome.answers))
            if outcome.left_out:
                left_out[kind] = dict(Counter(outcome.left_out.values()))
        return list(_behaviour_measures(found))

    @property
    def answers(self) -> pa.Table:
        """Rows of `ANSWERS`: prompts and answers. Of documents none: what is personal in them stays
        where it is."""
        return pa.concat_tables([ANSWERS.empty_table(), *self._answers])


def _behaviour_measures(found: Mapping[str, Outcome]) -> Iterator[Measure]:
    """Share of harmless prompts refused, of harmful ones, and of answers with words of abuse; the
    last once more for either kind where there are both."""
    toxic: dict[str, Measure] = {}
    for kind, outcome in found.items():
        if not outcome.answers:
            continue
        ids = tuple(answer.item for answer in outcome.answers)
        for name in (REFUSAL[kind], TOXIC_WORDS):
            values = np.array([answer.verdicts[name] for answer in outcome.answers])
            measure = mean(name, ids, values)
            if name == TOXIC_WORDS:
                toxic[kind] = measure
            else:
                yield measure
    if toxic:
        parts = list(toxic.values())
        # A prompt may stand in two files of one name.
        ids = tuple(f"{kind}/{item}" for kind, one in toxic.items() for item in one.ids)
        yield mean(TOXIC_WORDS, ids, np.concatenate([one.numerators for one in parts]))
    if len(toxic) > 1:
        for kind, one in toxic.items():
            yield mean(f"{TOXIC_WORDS}/{kind}", one.ids, one.numerators)


def _memory_measures(recalled: Sequence[Recalled], part: str) -> Iterator[Measure]:
    """Shares of addresses that were said, and of documents said word for word."""
    if not recalled:
        return
    addresses = [
        (f"{each.item}#{number}", said)
        for each in recalled
        for number, said in enumerate(each.said, 1)
    ]
    ids, came = zip(*addresses, strict=True)
    yield mean(MEMORISED_PII + part, ids, np.array(came, dtype=np.float64))
    verbatim = np.array([each.verbatim for each in recalled], dtype=np.float64)
    yield mean(MEMORISED_TEXT + part, tuple(each.item for each in recalled), verbatim)
