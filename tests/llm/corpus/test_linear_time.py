"""No expression and no text function takes quadratic time, whatever the text is a run of."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import llm.corpus
from llm.corpus import lone_nodes, stream_safe, unprintable, words
from llm.corpus.contamination import words as contamination_words
from llm.corpus.heuristics import heuristics
from llm.corpus.normalise import normalise
from llm.corpus.pii import pii_counts
from llm.corpus.repetition import repetition
from llm.corpus.segmentation import segment
from llm.corpus.shingles import shingles, text_digest

FAULT = Path(__file__).parents[3].parent / "shared/data/faults/corpus/text/nfc_quadratic_160kB.txt"
LENGTH = 10_000
# Quadratic work of ten times the characters is 100 times as much; linear work ten times.
GROWTH = 40
UNITS = [
    *(" ", "a", "0", ".", "\n", "<", "&", "@", "-", "_", "é", "東", "\t", ">", "/"),
    *("a.", "a@", "0.", "&a", "<a", " \n", "a ", "><", "</a>", "\u0301\u0316", "A1", "<meta "),
    *("<!", "[", "]]>", "1,", ":", "#", "http://", "&#1;", "@a.", "一ー", "ก\u0e31"),
]


# Read the documentation of installed packages, a line at a time.
_OF_LINES = ("docstring", "python_", "pydocs", "installed")
# Tried at one place only, or on 64 characters; the functions that use them are tested below.
_AT_ONE_PLACE = (
    "llm.corpus.arc._URL",
    "llm.corpus.records._TYPE",
    "llm.corpus.lone_nodes._LONE_FIRST",
    "llm.corpus.lone_nodes._CLOSES_LINK",
    "llm.corpus.pii._LOCAL",
    "llm.corpus.pii._HOST",
)


def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    found = []
    for module in pkgutil.iter_modules(llm.corpus.__path__):
        if module.name.startswith(_OF_LINES):
            continue
        path = f"llm.corpus.{module.name}"
        for name, value in vars(importlib.import_module(path)).items():
            if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                found.append((f"{path}.{name}", value))
    found += [
        (f"words.{build.__name__}", build())
        for build in (words._all_words, words._all_pieces, words._spaced_words, words._any_mark)
    ]
    return [(name, pattern) for name, pattern in found if name not in _AT_ONE_PLACE]


def _seconds(work: Callable[[str], object], text: str) -> float:
    start = time.process_time()
    work(text)
    return time.process_time() - start


def _grows_linearly(work: Callable[[str], object], unit: str) -> bool:
    text = unit * (LENGTH // len(unit))
    seconds = _seconds(work, text)
    if seconds < 0.03:  # too little to be quadratic, and to be measured
        return True
    return seconds < GROWTH * _seconds(work, text[: LENGTH // 10])


@pytest.mark.parametrize("unit", UNITS, ids=ascii)
def test_expressions(unit: str) -> None:
    slow = [
        name
        for name, pattern in _patterns()
        if not _grows_linearly(lambda text, p=pattern: p.sub("", text), unit)
    ]
    assert slow == []


@pytest.mark.parametrize(
    "work",
    [
        normalise,
        text_digest,
        lambda text: shingles(text, 5),
        contamination_words,
        lambda text: heuristics(segment(text)),
        lambda text: repetition(segment(text)),
        pii_counts,
        lone_nodes.guard,
        unprintable.guard,
    ],
)
def test_functions(work: Callable[[str], object]) -> None:
    work("東ก दिन")  # builds the patterns
    assert [unit for unit in UNITS if not _grows_linearly(work, unit)] == []


def test_runs_of_marks_are_cut_after_thirty() -> None:
    marks = "\u0316\u0301" * 40
    safe = stream_safe.stream_safe(f"a{marks}b")
    assert safe.replace("\u034f", "") == f"a{marks}b"
    assert max(map(len, re.findall("[\u0301\u0316]+", safe))) == stream_safe.MOST_MARKS
    short = "e" + "\u0301" * 30 + "\U0001f600" * 50
    assert stream_safe.stream_safe(short) == short


def test_a_megabyte_of_marks_takes_seconds() -> None:
    text = FAULT.read_text() if FAULT.exists() else "a" + "\u0316\u0301" * 80_000
    assert _seconds(lambda text: shingles(text, 5), text * 6) < 5
