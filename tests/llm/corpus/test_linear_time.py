"""No expression and no text function takes quadratic time, whatever the text is a run of."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import llm.alignment.examples
import llm.corpus
import llm.pydocs
import llm.tokens
from llm.corpus import stream_safe, words
from llm.corpus.annotate.pii.find import pii_counts
from llm.corpus.clean import lone_nodes, unprintable
from llm.corpus.clean.normalise import normalise
from llm.corpus.decontaminate.word_keys import words as contamination_words
from llm.corpus.dedup.shingles import shingles, text_digest
from llm.corpus.sites.cutting import cut_lines
from llm.corpus.source.arc import Arc
from llm.corpus.source.encoding import declared_in_page
from llm.corpus.source.stateful_encodings import stateful
from llm.corpus.text_metrics import text_counts
from llm.corpus.text_metrics.text_counts import NO_LIST, StopWords
from llm.pydocs.answers import answer
from llm.pydocs.docstring_html import docstring_html
from llm.pydocs.pages import Definition, definitions

FAULT = Path(__file__).parents[3].parent / "shared/data/faults/corpus/text/nfc_quadratic_160kB.txt"
LENGTH = 4_000
NO_WORDS = StopWords((), ())
# Quadratic work of ten times the characters is 100 times as much; linear work ten times.
GROWTH = 40
UNITS = [
    *(" ", "a", "0", ".", "\n", "<", "&", "@", "-", "_", "é", "東", "\t", ">", "/"),
    *("a.", "a@", "0.", "&a", "<a", " \n", "a ", "><", "</a>", "\u0301\u0316", "A1", "<meta "),
    *("<!", "[", "]]>", "1,", ":", "#", "http://", "&#1;", "@a.", "一ー", "ก\u0e31"),
    *("a(", "(", "()", "`", "`a", "[a", "{a", "*a", "| ", "= ", "\x1b$)C", "~{!!", "\n\n", "a:\n"),
]


# What expressions begin with, so that a run behind it is tried as the rest of a match.
BEGINNINGS = [
    *(
        "",
        ":a",
        ":a:`",
        ".. ",
        ".. a",
        ".. [",
        "a(",
        "`",
        "`a <",
        "``",
        "=",
        "|",
        "```",
        "- ",
        "a: ",
    ),
    *("a()", "*a", "[a](http://", "x\n", "<!--", "\x1b$)C", "\x1b$B", "~{", "WARC/1.0", "HTTP/1.1"),
    *("WARC-", "\ncontent-length:", "http:"),
]
_PACKAGES = (llm.corpus, llm.pydocs, llm.alignment.examples, llm.tokens)
# Tried at one place only, or on so many bytes; the functions that use them are tested below.
_AT_ONE_PLACE = (
    "llm.pydocs.answers._WHOLE",
    "llm.pydocs.answers._NOT_PROSE",
    "llm.corpus.source.arc.Arc.begins",  # look some 4,000 bytes ahead: tried on more below
    "llm.corpus.source.arc.Arc.start",
    "llm.corpus.source.arc._INNER",
    "llm.corpus.source.arc._URL",
    "llm.corpus.source.encoding._COMMENT",  # of the first 4,096 bytes
    "llm.corpus.source.encoding._META",
    "llm.corpus.source.http_response._STATUS",
    "llm.corpus.clean.pages._MARKUP",
    "llm.corpus.source.records._TYPE",
    "llm.corpus.clean.lone_nodes._LONE_FIRST",
    "llm.corpus.clean.lone_nodes._CLOSES_LINK",
    "llm.corpus.annotate.pii.emails._LOCAL",
    "llm.corpus.annotate.pii.emails._HOST",
    "llm.corpus.annotate.pii.emails._PLAIN_HOST",
    "llm.corpus.sites.cutting._ITEM",
    "llm.corpus.sites.cutting._CODE",
)


@functools.cache
def _patterns() -> list[tuple[str, re.Pattern[Any]]]:
    """Those of modules and of classes in them, of text and of bytes, each once."""
    found: list[tuple[str, re.Pattern[Any]]] = []
    for package in _PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            found += _in(module.name, importlib.import_module(module.name))
    found += [
        (f"words.{build.__name__}", build())
        for build in (words._all_words, words._all_pieces, words._spaced_words, words._any_mark)
    ]
    assert set(_AT_ONE_PLACE) <= {name for name, _ in found}
    once = {pattern: name for name, pattern in reversed(found) if name not in _AT_ONE_PLACE}
    return [(name, pattern) for pattern, name in once.items()]


def _in(path: str, holder: object) -> Iterator[tuple[str, re.Pattern[Any]]]:
    for name, value in vars(holder).items():
        if isinstance(value, re.Pattern):
            yield f"{path}.{name}", value
        elif inspect.isclass(value) and value.__module__ == path:
            yield from _in(f"{path}.{name}", value)


def _tried(pattern: re.Pattern[Any], text: str) -> object:
    return (
        pattern.sub(b"", text.encode())
        if isinstance(pattern.pattern, bytes)
        else (pattern.sub("", text))
    )


def _seconds(work: Callable[[str], object], text: str) -> float:
    start = time.thread_time()
    work(text)
    return time.thread_time() - start


def _grows_linearly(work: Callable[[str], object], unit: str, beginning: str = "") -> bool:
    run = unit * (LENGTH // len(unit))
    # With an end that fits nothing, what would match must give up.
    text = f"{beginning}{run}\0" if beginning else run
    seconds = _seconds(work, text)
    if seconds < 0.03:  # too little to be quadratic, and to be measured
        return True
    if seconds < GROWTH * _seconds(work, text[: LENGTH // 10]):
        return True
    # A busy machine slows a moment; what grows faster is slow each time.
    again = min(_seconds(work, text), _seconds(work, text))
    return again < GROWTH * _seconds(work, text[: LENGTH // 10])


@pytest.mark.parametrize("unit", UNITS, ids=ascii)
def test_expressions(unit: str) -> None:
    slow = [
        (name, beginning)
        for name, pattern in _patterns()
        for beginning in BEGINNINGS
        if not _grows_linearly(functools.partial(_tried, pattern), unit, beginning)
    ]
    assert slow == []


@pytest.mark.parametrize(
    "work",
    [
        normalise,
        text_digest,
        lambda text: shingles(text, 5),
        contamination_words,
        lambda text: text_counts.text_counts(pa.array([text], pa.string()), NO_WORDS, [NO_LIST]),
        lambda text: text_counts._plain(pa.array([text], pa.string()), NO_WORDS, [NO_LIST]),
        pii_counts,
        lambda text: cut_lines(text, lambda _: True, 60),
        lone_nodes.guard,
        unprintable.guard,
        docstring_html,
        lambda text: definitions("a", text),
        lambda text: answer(Definition("a.b", "", "function", (text, text)), 100_000),
        lambda text: stateful(text.encode()),
        lambda text: declared_in_page(text.encode()),
    ],
)
def test_functions(work: Callable[[str], object]) -> None:
    work("東ก दिन")  # builds the patterns
    assert [unit for unit in UNITS if not _grows_linearly(work, unit)] == []


@pytest.mark.parametrize("pattern", [Arc.start, Arc.begins], ids=["start", "begins"])
def test_the_line_of_an_arc_record(pattern: re.Pattern[bytes]) -> None:
    def search(text: str) -> object:
        return pattern.sub(b"", text.encode())

    short, long = ("http://" * (length // 7) for length in (LENGTH, 10 * LENGTH))
    assert _seconds(search, long) < GROWTH * _seconds(search, short)


def test_runs_of_marks_are_cut_after_thirty() -> None:
    marks = "\u0316\u0301" * 40
    safe = stream_safe.stream_safe(f"a{marks}b")
    assert safe.replace("\u034f", "") == f"a{marks}b"
    assert max(map(len, re.findall("[\u0301\u0316]+", safe))) == stream_safe.MAX_MARKS
    short = "e" + "\u0301" * 30 + "\U0001f600" * 50
    assert stream_safe.stream_safe(short) == short


def test_a_megabyte_of_marks_takes_seconds() -> None:
    text = FAULT.read_text() if FAULT.exists() else "a" + "\u0316\u0301" * 80_000
    assert _seconds(lambda text: shingles(text, 5), text * 6) < 5
