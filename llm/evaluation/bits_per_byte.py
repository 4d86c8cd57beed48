"""Bits per byte: what a model would need to write documents down, whatever its tokenizer.

A document's tokens follow an end of text and are followed by one, as in the training rows; the
first is context alone, the last is scored too. Documents longer than the context are read through
windows that overlap by half: after the first window every token has at least half a context
before it, and each token is scored once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from llm.evaluation.tasks.subject import Subject
from llm.model.scoring import Report, Scorer, token_logprobs


@dataclass(frozen=True)
class Window:
    """A stretch of a token sequence the model sees at once.

    Attributes:
        start, end: it reads tokens [start, end) and predicts tokens [start + 1, end + 1).
        scored: the first of its predictions that counts, as an index into the sequence less one.
    """

    start: int
    end: int
    scored: int


@dataclass(frozen=True)
class DocumentLosses:
    """By document, in order: bits needed, tokens scored (the end of text included), bytes."""

    bits: NDArray[np.float64]
    tokens: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @property
    def bits_per_byte(self) -> float:
        return float(self.bits.sum() / self.sizes.sum())


def windows(predictions: int, context: int, stride: int) -> list[Window]:
    """Windows over a sequence of `predictions` + 1 tokens, each `stride` after the one before.

    Raises:
        ValueError: a stride that would leave tokens out, or go nowhere.
    """
    if not 0 < stride <= context:
        raise ValueError(f"stride {stride} is not within 1 to the context, {context}")
    found = [Window(0, min(context, predictions), 0)]
    while found[-1].end < predictions:
        start, scored = found[-1].start + stride, found[-1].end
        found.append(Window(start, min(start + context, predictions), scored))
    return found


def document_losses(
    subject: Subject, texts: Sequence[str], eval_batch_tokens: int, report: Report
) -> DocumentLosses:
    """What each document costs; the batch size changes nothing but rounding."""
    return token_losses(
        subject.scorer,
        subject.device,
        subject.context,
        subject.end,
        [np.array(subject.encode_bare(text), np.int32) for text in texts],
        [len(text.encode()) for text in texts],
        eval_batch_tokens,
        report,
    )


def token_losses(
    scorer: Scorer,
    device: torch.device,
    context: int,
    end: int,
    documents: Sequence[NDArray[np.int32]],
    sizes: Sequence[int],
    eval_batch_tokens: int,
    report: Report,
) -> DocumentLosses:
    """The same of documents that are tokens already.

    Args:
        context: most tokens the scorer reads at once.
        end: the token between documents.
        documents: int32 (tokens,) each, without an end of text.
        sizes: bytes of each.
    """
    pieces: list[NDArray[np.int32]] = []
    scored: list[NDArray[np.bool_]] = []
    owners: list[int] = []
    between = np.array([end], dtype=np.int32)
    tokens = np.zeros(len(documents), dtype=np.int64)
    for document, own in enumerate(documents):
        sequence = np.concatenate([between, own, between])
        tokens[document] = len(sequence) - 1
        for window in windows(len(sequence) - 1, context, max(1, context // 2)):
            pieces.append(sequence[window.start : window.end + 1])
            passed_over = window.scored - window.start + 1
            scored.append(np.arange(len(pieces[-1])) >= passed_over)
            owners.append(document)
    by_window = np.zeros(len(pieces))
    for index, values in token_logprobs(scorer, pieces, scored, eval_batch_tokens, device, report):
        by_window[index] = -values.sum()
    nats = np.zeros(len(documents))
    for document, value in zip(owners, by_window, strict=True):
        nats[document] += value
    return DocumentLosses(nats / math.log(2), tokens, np.array(sizes, dtype=np.int64))
