"""How well a model foresees validation text: in all, by source and by language."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from llm.evaluation.bits_per_byte import document_losses
from llm.evaluation.document_groups import grouped
from llm.evaluation.measure import BITS_PER_BYTE, ROLLING_BITS_PER_BYTE, Measure
from llm.evaluation.tasks.continuations import likelihoods, rolling_pairs
from llm.evaluation.tasks.subject import Subject
from llm.evaluation.validation_bytes import ValidationText
from llm.model.scoring import Report


def text_measures(
    subject: Subject,
    text: ValidationText,
    languages: Mapping[str, str],
    rolling: bool,
    batch_tokens: int,
    begin: Callable[[str], Report],
) -> Iterator[Measure]:
    """Bits per byte, and for each source and language where there are several.

    Args:
        languages: of documents; none = not by language.
        rolling: measure once more as lm-eval does.
    """
    losses = document_losses(subject, text.texts, batch_tokens, begin("window of text"))
    whole = Measure(BITS_PER_BYTE, text.items, losses.bits, losses.sizes.astype(np.float64))
    yield whole
    yield from grouped(whole, "source", text.sources)
    if languages:
        yield from grouped(whole, "language", [languages.get(each) for each in text.doc_ids])
    if rolling:
        yield _rolling(subject, text, whole, batch_tokens, begin("rolling window of text"))


def _rolling(
    subject: Subject, text: ValidationText, whole: Measure, batch_tokens: int, report: Report
) -> Measure:
    pairs = [rolling_pairs(subject, document) for document in text.texts]
    found = iter(
        likelihoods(subject, [each for own in pairs for each in own], batch_tokens, report)
    )
    nats = [-sum(next(found).logprob for _ in own) for own in pairs]
    bits = np.array(nats, dtype=np.float64) / math.log(2)
    return Measure(ROLLING_BITS_PER_BYTE, whole.ids, bits, whole.denominators)
