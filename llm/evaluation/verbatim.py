"""How much of what a model says stands word for word in what it was trained on.

Greedy answers to held-out prompts are looked up in an index of the training texts: bytes in spans
of at least so many tokens, over all bytes said. Apart for pages and for the answers of examples,
which a tuned model may give away whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llm.corpus.attribution.spans import Index, covered_bytes
from llm.corpus.attribution.tables import ANSWER_SETS, TRAINED
from llm.evaluation.conversations import ValidationRows
from llm.evaluation.measure import VERBATIM_ANSWERS, VERBATIM_TEXT, Measure
from llm.evaluation.run_file import Verbatim
from llm.evaluation.validation_bytes import ValidationText
from llm.foreign.model import AnyModel
from llm.model.generation import generate
from llm.model.scoring import Report
from llm.tokens.chat import ChatEncoder
from llm.tokens.token_bounds import token_bounds

_AT_ONCE = 32
_OPENING = 64  # tokens of a document, as a prompt
_SETS = {VERBATIM_TEXT: (TRAINED,), VERBATIM_ANSWERS: ANSWER_SETS}


@dataclass(frozen=True)
class HeldOutPrompt:
    """A prompt as token ids, and the validation row it is of."""

    item: str
    ids: Sequence[int]


def held_out_prompts(
    rows: ValidationRows, text: ValidationText, encoder: ChatEncoder, context: int
) -> list[HeldOutPrompt]:
    """Prompts of validation examples; where there are none, how validation documents begin."""
    exchanges = rows.exchanges or [pair.chosen for pair in rows.pairs]
    if exchanges:
        return [HeldOutPrompt(one.doc_id, one.prompt) for one in exchanges]
    size = min(_OPENING, context // 2)
    return [
        HeldOutPrompt(doc_id, [encoder.text_end, *encoder.text(opening)][:size])
        for doc_id, opening in zip(text.doc_ids, text.texts, strict=True)
    ]


class VerbatimCheck:
    """The index, opened once for all models.

    Raises:
        BadBlockError: a block of it is damaged.
    """

    def __init__(self, told: Verbatim) -> None:
        self._told = told
        folders = {
            metric: [folder / kind for folder in told.index for kind in kinds]
            for metric, kinds in _SETS.items()
        }
        self._indexes = {
            metric: [Index(folder) for folder in found if folder.is_dir()]
            for metric, found in folders.items()
            if told.prompts
        }

    def ask(
        self,
        model: AnyModel,
        encoder: ChatEncoder,
        folder: Path,
        prompts: Sequence[HeldOutPrompt],
        new_tokens: int,
        begin: Callable[[str], Report],
    ) -> list[Measure]:
        """Of each kind of text that the index has, the share; of answers that say something.

        Args:
            folder: of the model, whose tokens count.
        """
        if not any(self._indexes.values()):
            return []
        report = begin("held-out prompt")
        chosen = prompts[: self._told.prompts]
        texts: list[bytes] = []
        for first in range(0, len(chosen), _AT_ONCE):
            asked = [prompt.ids for prompt in chosen[first : first + _AT_ONCE]]
            said = generate(model, asked, new_tokens, encoder.stops)
            texts += [encoder.decode(row).encode() for row in said]
            report(len(texts), len(chosen))
        rows = [
            (prompt.item, text, token_bounds(text, folder))
            for prompt, text in zip(chosen, texts, strict=True)
            if text
        ]
        if not rows:
            return []
        items = tuple(item for item, _, _ in rows)
        sizes = np.array([len(text) for _, text, _ in rows], np.float64)
        return [
            Measure(metric, items, np.array(bytes_in, np.float64), sizes)
            for metric, indexes in self._indexes.items()
            if indexes
            for bytes_in in [
                [covered_bytes(indexes, text, at, self._told.tokens) for _, text, at in rows]
            ]
        ]
