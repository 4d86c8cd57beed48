"""Files of examples, whatever they are kept in."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from llm.alignment.examples.tables import Dropped, Example, Message
from tests.llm.alignment.examples.example_rows import ASK, BACK, OTHER, SAY, plain, read, write


def test_containers_hold_the_same_examples(tmp_path: Path) -> None:
    rows = [{"prompt": f"What is {n}?", "completion": f"It is {n}."} for n in range(20)]
    lines = write(tmp_path / "a.jsonl", rows).read_bytes()
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard.compress(lines))
    (tmp_path / "d.json").write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "e.parquet")
    cells = "".join(f'"{row["prompt"]}",{row["completion"]}\r\n' for row in rows)
    (tmp_path / "f.csv").write_text("\ufeffprompt,completion\r\n" + cells, encoding="utf-8")
    (tmp_path / "g.tsv.gz").write_bytes(
        gzip.compress(("prompt\tcompletion\n" + cells.replace(",", "\t")).encode())
    )
    turns = [
        [o.turns for o in read(file, "instruction") if isinstance(o, Example)]
        for file in sorted(tmp_path.iterdir())
    ]
    assert len(turns) == 7
    assert all(found == turns[0] for found in turns)
    assert len(turns[0]) == 20


def test_rows_of_a_table(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes(
        b",question,context,answer,label\n"
        b'0,"a, and\nb?",,"say ""b""",true\n'
        b"1,c,,d\n"
        b"2,e,,f,0\n"
        b"3,g,,\xff,\n"
        b'4,"h"i,,j,\n'
        b"5,k," + b"x" * 200_000 + b",l,\n"
        b"6,m,,n,\n"
    )
    unread = Counter[str]()
    found = read(file, "instruction", unread=unread)
    assert [o.turns[0] for o in found if isinstance(o, Example)] == [
        (Message("user", "a, and\nb?"), Message("assistant", 'say "b"')),
        (Message("user", "m"), Message("assistant", "n")),
    ]
    bad = [(o.reason, o.detail.split(": ")[0]) for o in found if isinstance(o, Dropped)]
    assert bad == [
        ("malformed_csv", "mine.csv:4"),
        ("bad_answer", "mine.csv:5"),
        ("undecodable", "mine.csv:6"),
        ("malformed_csv", "mine.csv:7"),
        ("too_large", "mine.csv:8"),
    ]
    assert unread == {"": 2}  # the number in front, which has no name


def test_fields_that_nothing_is_made_of_are_counted(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "a", "completion": "b", "source": "x", "context": "c"},
        {"prompt": "a", "completion": "c", "source": "y", "history": None, "label": 7},
        {"prompt": "a", "completion": "", "score": 3},  # unusable: told as that
        {
            "messages": [*plain(ASK), plain(SAY)[0] | {"thinking": "Hm.", "weight": 1}],
            "prompt": "z",
        },
        {"messages": [*plain(ASK), plain(SAY)[0] | {"thinking": None}], "\ud800": 1},
    ]
    unread = Counter[str]()
    read(write(tmp_path / "a.jsonl", rows), "instruction", unread=unread)
    assert unread == {
        "source": 2,
        "context": 1,
        "label": 1,
        "messages[].thinking": 1,
        "prompt": 1,
        "?": 1,
    }
    many = [{"prompt": f"{n}", "completion": "b", f"field{n}": n} for n in range(250)]
    read(write(tmp_path / "b.jsonl", many), "instruction", unread=(wide := Counter[str]()))
    assert len(wide) == 101
    assert wide.total() == 250


def test_the_split_follows_the_opening(tmp_path: Path) -> None:
    prompts = [f"What is {n}?" for n in range(400)]
    asked = [{"prompt": prompt, "completion": "a"} for prompt in prompts]
    longer = [
        {"messages": plain(Message("user", f" {p.upper()}  "), SAY, BACK, OTHER)} for p in prompts
    ]
    pairs = [{"prompt": p, "chosen": "a", "rejected": "b"} for p in prompts]
    one = [o.split for o in read(write(tmp_path / "a.jsonl", asked), "instruction", 0.25)]
    two = [o.split for o in read(write(tmp_path / "b.jsonl", longer), "instruction", 0.25)]
    three = [o.split for o in read(write(tmp_path / "c.jsonl", pairs), "preference", 0.25)]
    assert one == two == three
    assert 60 < one.count("validation") < 140
