"""Contamination: overlap by n-grams against a plain loop, evaluation files as they come."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.corpus.decontaminate.items import EvaluationFileError, EvaluationItem, read_items
from llm.corpus.decontaminate.ngrams import NgramIndex, find_matches, item_ngrams, words

DATA = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "eval"
QUESTION = (
    "Which of the following statements best explains why a rainbow appears in the sky "
    "after a short summer storm?"
)


def _index(items: list[tuple[str, ...]], size: int = 13, shortest: int = 8) -> NgramIndex:
    named = [EvaluationItem(f"set:{number}", texts) for number, texts in enumerate(items, 1)]
    return NgramIndex(item_ngrams("quiz", named, size, shortest)[0])


def test_words_are_lower_case_without_punctuation() -> None:
    assert words("Don't STOP: été_2024, Straße—ok 42%") == [
        "don", "t", "stop", "été", "2024", "straße", "ok", "42",
    ]  # fmt: skip


def test_a_quoted_question_is_found_whatever_its_case_and_punctuation() -> None:
    index = _index([(QUESTION, "the sun")])
    quoted = QUESTION.upper().replace(" ", " - ")
    ((name, item, ngram, count),) = index.matches(f"Exam of 2019.\n{quoted} Answer below.")
    assert (name, item) == ("quiz", "set:1")
    assert ngram == "which of the following statements best explains why a rainbow appears in the"
    assert count == len(words(QUESTION)) - 12


def test_one_word_changed_in_the_middle_of_twenty_five_is_no_overlap() -> None:
    text = " ".join(f"w{number}" for number in range(25))
    index = _index([(text,)])
    assert index.matches(text.replace("w12", "other")) == []
    assert index.matches(text.replace("w11", "other"))[0][3] == 1


def test_short_items_match_as_a_whole_or_not_at_all() -> None:
    items = [("eight words are just enough to be sought",), ("seven words are not enough for it",)]
    named = [EvaluationItem(f"set:{number}", texts) for number, texts in enumerate(items)]
    table, coverage = item_ngrams("quiz", named, 13, 8)
    assert (coverage.items, coverage.too_short, coverage.ngrams) == (2, 1, 1)
    index = NgramIndex(table)
    assert index.matches("Indeed: eight words are just enough to be sought, he said.")
    assert not index.matches("eight words are just enough to be")
    assert not index.matches("seven words are not enough for it")


def test_matches_name_every_set_and_item() -> None:
    named = [EvaluationItem("file:7", (QUESTION,))]
    tables = [item_ngrams(name, named, 13, 8)[0] for name in ("b", "a")]
    documents = pa.table({"doc_id": ["x", "y", "z"], "text": ["nothing", QUESTION, None]})
    rows = find_matches(documents, NgramIndex(pa.concat_tables(tables))).to_pylist()
    assert [(row["doc_id"], row["evaluation_set"], row["item"]) for row in rows] == [
        ("y", "a", "file:7"),
        ("y", "b", "file:7"),
    ]


_TEXTS = st.lists(st.sampled_from("ab"), max_size=14).map(" ".join)


@settings(deadline=None)
@given(st.lists(_TEXTS, max_size=4), _TEXTS, st.integers(2, 6), st.integers(1, 6))
def test_overlap_equals_a_plain_loop(
    items: list[str], document: str, size: int, shortest: int
) -> None:
    sought: dict[tuple[str, ...], int] = {}
    for number, item in enumerate(items, 1):
        found = item.split()
        length = min(size, len(found))
        if len(found) >= min(size, shortest) and found:
            for start in range(len(found) - length + 1):
                sought.setdefault(tuple(found[start : start + length]), number)
    expected: dict[str, int] = {}
    own = document.split()
    for length in sorted({len(ngram) for ngram in sought}):
        for start in range(len(own) - length + 1):
            number = sought.get(tuple(own[start : start + length]))
            if number is not None:
                expected[f"set:{number}"] = expected.get(f"set:{number}", 0) + 1
    matches = _index([(item,) for item in items], size, shortest).matches(document)
    assert {item: count for _, item, _, count in matches} == expected


def test_real_questions_are_found_in_pages_that_quote_them() -> None:
    path = DATA / "gsm8k_test.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there: shared data is not part of the project")
    items = list(read_items(path, "gsm8k", ["question"]))[:300]
    table, coverage = item_ngrams("gsm8k", items, 13, 8)
    assert coverage.too_short == 0
    index = NgramIndex(table)
    for number, item in enumerate(items):
        page = f"Blog, day {number}. Try this one! {item.texts[0].upper()} Good luck."
        assert item.name in {match[1] for match in index.matches(page)}
        assert not index.matches(" ".join(reversed(page.split())))


def _read(path: Path, *fields: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(item.name, item.texts) for item in read_items(path, path.name, fields)]


RECORDS = [
    {"q": "What\u2028now?", "choices": {"text": ["one", "two"], "label": [1, 2]}, "n": 3},
    {"q": "Où?", "choices": {"text": ["ici"]}, "n": None},
]


def test_records_of_every_format(tmp_path: Path) -> None:
    lines = "\n\n".join(json.dumps(record, ensure_ascii=False) for record in RECORDS) + "\n"
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    with gzip.open(tmp_path / "b.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write(lines)
    (tmp_path / "c.json").write_text(json.dumps(RECORDS), encoding="utf-8")
    questions = [("What\u2028now?", "one", "two"), ("Où?", "ici")]
    assert _read(tmp_path / "a.jsonl", "q", "choices.text") == [
        ("a.jsonl:1", questions[0]),
        ("a.jsonl:3", questions[1]),
    ]
    assert [texts for _, texts in _read(tmp_path / "b.jsonl.gz")] == questions
    assert [texts for _, texts in _read(tmp_path / "c.json")] == questions
    (tmp_path / "d.csv").write_text('\ufeffq,a\r\n"one,\ntwo",x\r\nthree,y\r\n', encoding="utf-8")
    assert [texts for _, texts in _read(tmp_path / "d.csv", "q")] == [("one,\ntwo",), ("three",)]
    (tmp_path / "e.tsv").write_text("q\ta\none\tx\n", encoding="utf-8")
    assert _read(tmp_path / "e.tsv", "a") == [("e.tsv:2", ("x",))]
    # As MMLU is published: no header, and no question is taken for one.
    (tmp_path / "g.csv").write_text('"Which, of these?",1,2,B\nWhy?,3,4,A\n', encoding="utf-8")
    assert _read(tmp_path / "g.csv") == [
        ("g.csv:1", ("Which, of these?", "1", "2", "B")),
        ("g.csv:2", ("Why?", "3", "4", "A")),
    ]
    (tmp_path / "f.txt").write_text("first\n\n second \n", encoding="utf-8")
    assert _read(tmp_path / "f.txt") == [("f.txt:1", ("first",)), ("f.txt:3", ("second",))]
    for name in ("a.jsonl", "c.json", "d.csv", "e.tsv", "g.csv", "f.txt"):
        plain = (tmp_path / name).read_bytes()
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(plain))
        (tmp_path / f"{name}.zst").write_bytes(zstandard.compress(plain))
        wanted = [texts for _, texts in _read(tmp_path / name)]
        for ending in (".gz", ".zst"):
            assert [texts for _, texts in _read(tmp_path / f"{name}{ending}")] == wanted


@pytest.mark.parametrize(
    ("name", "content", "fields", "message"),
    [
        ("a.jsonl", b'{"q": "x"}\n{"q": \n', ["q"], r"a\.jsonl:2: not JSON"),
        ("a.jsonl", b'{"q": "x"}\n', ["question"], r"a\.jsonl:1: no field 'question'.* has q"),
        ("a.jsonl", b'["x"]\n', [], r"a\.jsonl:1: a list instead of an object"),
        ("a.json", b'{"q": "x"}', [], "holds a list"),
        ("a.txt", b"caf\xe9\n", [], "UTF-8"),
        ("a.csv", b"q,a\nx\n", ["q"], r"a\.csv:2: 1 fields, the header has 2"),
        ("a.csv", b"q,a\nx,y\n", ["question"], r"a\.csv:2: no field 'question'.* has q, a"),
        ("a.csv", b"q,a\n\xe9,y\n", ["q"], r"a\.csv:2: not UTF-8"),
        ("a.csv", b'q,a\n"x,y\n', [], r"a\.csv:2: line 2: unexpected end"),
        ("a.csv.gz", gzip.compress(b"q,a\nx,y\n" * 99)[:-12], ["q"], r"a\.csv\.gz: the gzip"),
        ("a.jsonl.gz", gzip.compress(b'{"q": "x"}\n' * 99)[:-12], ["q"], r"a\.jsonl\.gz"),
        ("a.txt.zst", zstandard.compress(b"one\n" * 9)[:-4], [], r"a\.txt\.zst: the zstd"),
        ("a.json", b"[" * 100_000, [], "not JSON"),
        ("a.parquet", b"", [], "evaluation files end in"),
    ],
)
def test_bad_files_are_named(
    tmp_path: Path, name: str, content: bytes, fields: list[str], message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EvaluationFileError, match=message):
        _read(tmp_path / name, *fields)


def test_scripts_without_spaces_are_words_of_few_characters() -> None:
    assert words("中国的首都 is 北京！") == ["中国", "的", "首都", "is", "北", "京"]
    asked = "下列关于细胞结构的说法，正确的是哪一项？"
    index = _index([(asked,)])
    page = pa.table({"doc_id": ["d"], "text": [f"考试题目：{asked}答案见下页。"]})
    assert find_matches(page, index).num_rows == 1


@pytest.mark.parametrize(
    ("name", "content", "fields"),
    [
        ("a.jsonl", "", []),
        ("a.json", "[]", []),
        ("a.txt", " \n\n", []),
        ("a.csv", "", []),
        ("a.csv", "question,answer\n", ["question"]),
        ("a.jsonl", '{"n": 5}\n{"n": 6}\n', []),
    ],
)
def test_a_file_without_items_is_an_error(
    tmp_path: Path, name: str, content: str, fields: list[str]
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(EvaluationFileError, match=rf"^{name}: no item in it"):
        list(read_items(path, name, fields))
