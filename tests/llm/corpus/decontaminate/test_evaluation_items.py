"""Evaluation files as they come, and which of their texts are looked for."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import zstandard

from llm.corpus.decontaminate.items import EvaluationFileError, EvaluationItem, read_items
from llm.corpus.decontaminate.sought import Criteria, is_telling, sought_texts


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


CRITERIA = Criteria(ngram=13, shortest=8, share=0.5, edited_share=0.9)


def _named(texts: list[tuple[str, ...]]) -> list[EvaluationItem]:
    return [EvaluationItem(f"set:{number}", own) for number, own in enumerate(texts, 1)]


def _numbered(words: int, first: int = 0) -> str:
    return " ".join(f"w{number}" for number in range(first, first + words))


def test_short_texts_are_counted_and_not_looked_for() -> None:
    items = _named([(_numbered(8), "yes"), (_numbered(7, 90), "no"), (_numbered(40, 200),)])
    table, coverage = sought_texts("quiz", items, CRITERIA)
    assert (coverage.items, coverage.too_short, coverage.texts) == (3, 1, 2)
    found = [
        (r["item"], r["words"], r["run"], r["covered"], r["edited"]) for r in table.to_pylist()
    ]
    # All of a short one; half of a long one, or nine words of ten with changes.
    assert found == [("set:1", 8, 8, 8, 0), ("set:3", 40, 13, 20, 36)]


def test_a_text_of_two_items_is_the_first_ones() -> None:
    table, coverage = sought_texts(
        "quiz", _named([("x", _numbered(9)), (_numbered(9).upper() + "?",)]), CRITERIA
    )
    (row,) = table.to_pylist()
    assert (row["item"], row["place"], coverage.too_short) == ("set:1", 1, 0)


def test_the_form_of_texts_is_left_off() -> None:
    asked = [f"Question: Why does {_numbered(9, 20 * n)} so? Answer:" for n in range(25)]
    items = _named([(text, f"{_numbered(9, 5000 + 20 * n)}") for n, text in enumerate(asked)])
    table, coverage = sought_texts("quiz", items, CRITERIA)
    assert coverage.forms == ["question why does … so answer"]
    assert table.to_pylist()[0]["text"] == _numbered(9)
    # Of few texts, and of texts of which only some have it, it is none.
    assert sought_texts("quiz", items[:10], CRITERIA)[1].forms == []
    others = _named([(_numbered(12, 9000 + 20 * n),) for n in range(5)])
    mixed = sought_texts("quiz", [*items, *others], CRITERIA)
    assert mixed[1].forms == []


def test_words_that_are_found_anywhere_tell_nothing() -> None:
    assert is_telling(["seven", "red", "boats", "sail"])
    assert not is_telling(["1", "2", "3", "4", "5", "6", "7", "8"])
    assert not is_telling(["no", "no", "no", "no", "no", "yes"])
    assert is_telling([*(f"w{n % 10}" for n in range(400))])
    counted = _named([("1 2 3 4 5 6 7 8 9 10 11 12 13",)])
    assert sought_texts("quiz", counted, CRITERIA)[1].too_short == 1
