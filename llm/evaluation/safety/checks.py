"""The safety of a chain's models, one after the other: how they answer, and what they remember."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llm.evaluation.measure import Measure
from llm.evaluation.safety.behaviour import Behaviour, behaviour_measures
from llm.evaluation.safety.memorisation import SETS, HalvedDocuments, recall
from llm.evaluation.safety.told import Safety
from llm.evaluation.tasks.answer_table import ANSWERS, answer_table
from llm.model.scoring import Report
from llm.model.transformer import Transformer
from llm.tokens.chat import ChatEncoder


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
        model: Transformer,
        encoder: ChatEncoder,
        begin: Callable[[str], Report],
    ) -> list[Measure]:
        """A model's measures; none of what there is nothing for."""
        left_out = self.left_out.setdefault(name, {})
        measures: list[Measure] = []
        if any(self._behaviour.prompts.values()):
            told = begin("safety prompt")
            found = self._behaviour.ask(model, encoder, self._new_tokens, told)
            measures += behaviour_measures(found)
            for kind, outcome in found.items():
                self._answers.append(answer_table(name, kind, outcome.answers))
                if outcome.left_out:
                    left_out[kind] = dict(Counter(outcome.left_out.values()))
        for split, part in SETS.items():
            if self._documents[split]:
                report = begin(f"halved {split} document")
                recalled = recall(model, encoder, self._documents[split], part, report)
                measures += recalled.measures
                if recalled.left_out:
                    left_out[f"{split}_documents_begun"] = recalled.left_out
        return measures

    @property
    def answers(self) -> pa.Table:
        """Rows of `ANSWERS`: prompts and answers. Of documents none: what is personal in them stays
        where it is."""
        return pa.concat_tables([ANSWERS.empty_table(), *self._answers])
