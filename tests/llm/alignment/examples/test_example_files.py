"""Rows of files in the shapes people keep them in, and what is wrong with the others."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from llm.alignment.examples.files import ExampleFileError, FileSettings, examples_in
from llm.alignment.examples.messages import UnusableRowError
from llm.alignment.examples.shapes import instruction, preference, rows_in
from llm.alignment.examples.tables import Dropped, Example, Kind, Message, Outcome

DATA = Path(__file__).resolve().parents[4].parent / "shared" / "data"
ASK, SAY, OTHER = Message("user", "Why?"), Message("assistant", "So."), Message("assistant", "No.")
BACK = Message("user", "Really?")
SYSTEM = Message("system", "Be brief.")


def plain(*messages: Message) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def shared_gpt(*messages: Message) -> list[dict[str, str]]:
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    return [{"from": names[message.role], "value": message.content} for message in messages]


def read(
    path: Path, kind: Kind, validation_fraction: float = 0.05, unread: Counter[str] | None = None
) -> list[Outcome]:
    settings = FileSettings(kind, 100_000, 1 << 28, validation_fraction, 0)
    return list(examples_in(path, path.name, settings, Counter() if unread is None else unread))


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def weighed(first: Any, last: Any) -> list[dict[str, Any]]:
    ask, other, back, say = plain(ASK, OTHER, BACK, SAY)
    return [ask, other | {"weight": first}, back, say | {"weight": last}]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"prompt": "Why?", "completion": "So."}, (ASK, SAY)),
        ({"question": "Why?", "answer": "So.", "id": 7}, (ASK, SAY)),
        ({"prompt": plain(SYSTEM, ASK), "completion": plain(SAY)}, (SYSTEM, ASK, SAY)),
        ({"messages": plain(ASK, SAY, BACK, OTHER)}, (ASK, SAY, BACK, OTHER)),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "Why?"}]},
                    *plain(SAY),
                ]
            },
            (ASK, SAY),
        ),
        ({"instruction": "Why?", "input": "", "output": "So."}, (ASK, SAY)),
        (
            {"instruction": "Add.", "input": "1 2", "output": "So."},
            (Message("user", "Add.\n\n1 2"), SAY),
        ),
        ({"conversations": shared_gpt(ASK, SAY), "system": "Be brief."}, (SYSTEM, ASK, SAY)),
        ({"messages": plain(ASK, SAY), "system": "Be brief."}, (SYSTEM, ASK, SAY)),
        ({"messages": plain(SYSTEM, ASK, SAY), "system": "Be long."}, (SYSTEM, ASK, SAY)),
        (
            {"conversations": shared_gpt(SYSTEM, ASK, SAY), "system_prompt": "Be long."},
            (SYSTEM, ASK, SAY),
        ),
        (
            {"system_prompt": "Be brief.", "question": "Why?", "response": "So."},
            (SYSTEM, ASK, SAY),
        ),
        ({"instruction": "Why?", "input": " \n", "output": "So."}, (ASK, SAY)),
        ({"instruction": "Why?", "input": None, "output": "So."}, (ASK, SAY)),
        (
            {"instruction": "Add.", "context": "1 2", "response": "So.", "category": "qa"},
            (Message("user", "Add.\n\n1 2"), SAY),
        ),
        ({"instruction": "Why?", "context": "", "response": "So."}, (ASK, SAY)),
        (
            {"instruction": [{"type": "text", "text": "Add."}], "question": "1?", "answer": "So."},
            (Message("user", "Add.\n\n1?"), SAY),
        ),
        (
            {"messages": [{"role": "developer", "content": "Be brief."}, *plain(ASK, SAY)]},
            (SYSTEM, ASK, SAY),
        ),
        (
            {
                "instruction": "Really?",
                "input": "",
                "output": "So.",
                "system": "Be brief.",
                "history": [["Why?", "No."]],
            },
            (SYSTEM, ASK, OTHER, BACK, SAY),
        ),
        (
            {"prompt": "Really?", "response": "So.", "history": plain(ASK, OTHER)},
            (ASK, OTHER, BACK, SAY),
        ),
        ({"prompt": "Why?", "completion": "So.", "history": []}, (ASK, SAY)),
        ({"prompt": "Why?", "completion": "So.", "label": True}, (ASK, SAY)),
        ({"prompt": "Why?", "completion": "So.", "label": "science"}, (ASK, SAY)),
        (
            {"messages": weighed(0, 1)},
            (ASK, OTHER._replace(supervised=False), BACK, SAY),
        ),
        ({"messages": weighed(1, 1)}, (ASK, OTHER, BACK, SAY)),
        ({"messages": weighed(None, True)}, (ASK, OTHER, BACK, SAY)),
        ({"messages": weighed(False, 1.0)}, (ASK, OTHER._replace(supervised=False), BACK, SAY)),
        # What follows the last answer to be learned teaches nothing.
        ({"messages": weighed(1, 0)}, (ASK, OTHER)),
        # Parquet: columns of other rows are there and null.
        ({"prompt": "Why?", "completion": "So.", "messages": None, "system": None}, (ASK, SAY)),
    ],
)
def test_shapes_of_instructions(record: Any, expected: Any) -> None:
    assert instruction(record) == (expected,)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"prompt": "Why?", "chosen": "So.", "rejected": "No."}, (ASK,)),
        ({"prompt": plain(ASK), "chosen": plain(SAY), "rejected": plain(OTHER)}, (ASK,)),
        ({"chosen": plain(ASK, SAY), "rejected": plain(ASK, OTHER)}, (ASK,)),
        ({"prompt": "Why?", "chosen": plain(ASK, SAY), "rejected": plain(ASK, OTHER)}, (ASK,)),
        (
            {"chosen": plain(ASK, OTHER, BACK, SAY), "rejected": plain(ASK, OTHER, BACK, OTHER)},
            (ASK, OTHER, BACK),
        ),
        ({"instruction": "Why?", "output": "So.", "chosen": "So.", "rejected": "No."}, (ASK,)),
        (
            {"system": "Be brief.", "question": "Why?", "chosen": "So.", "rejected": "No."},
            (SYSTEM, ASK),
        ),
        (
            {
                "prompt": "Why?",
                "system_prompt": "Be brief.",
                "chosen": plain(ASK, SAY),
                "rejected": plain(ASK, OTHER),
            },
            (SYSTEM, ASK),
        ),
        # UltraFeedback: the prompt stated apart is stripped in the conversations, or they differ.
        ({"prompt": "Why? ", "chosen": plain(ASK, SAY), "rejected": plain(ASK, OTHER)}, (ASK,)),
        (
            {
                "chosen": plain(ASK, SAY),
                "rejected": plain(Message("user", "\nWhy?"), OTHER),
            },
            (ASK,),
        ),
        (
            {
                "instruction": "Really?",
                "input": " ",
                "history": [["Why?", "No."]],
                "chosen": "So.",
                "rejected": "No.",
            },
            (ASK, OTHER, BACK),
        ),
        (
            {
                "chosen": weighed(0, 1),
                "rejected": [*weighed(0, 1)[:-1], *plain(OTHER)],
            },
            (ASK, OTHER, BACK),
        ),
        (
            {
                "conversations": shared_gpt(ASK),
                "chosen": shared_gpt(SAY)[0],
                "rejected": shared_gpt(OTHER)[0],
            },
            (ASK,),
        ),
        (
            {
                "chosen": "\n\nHuman: Why?\n\nAssistant: So.",
                "rejected": "\n\nHuman: Why?\n\nAssistant: No.",
            },
            (ASK,),
        ),
    ],
)
def test_shapes_of_preferences(record: Any, expected: Any) -> None:
    assert preference(record) == (expected, (SAY,), (OTHER,))


@pytest.mark.parametrize(
    "name", ["weight", "train", "trainable", "train_on_turn", "loss", "loss_weight"]
)
@pytest.mark.parametrize("value", [False, 0])
def test_an_answer_marked_as_not_to_be_learned(name: str, value: object) -> None:
    ask, other, back, say = plain(ASK, OTHER, BACK, SAY)
    (turns,) = instruction({"messages": [ask, other | {name: value}, back, say | {name: True}]})
    assert [turn.supervised for turn in turns if turn.role == "assistant"] == [False, True]


@pytest.mark.parametrize("blank", ["", " \n", None, [], [{"type": "text", "text": ""}]])
def test_a_blank_system_prompt_is_none(blank: object) -> None:
    said = [{"role": " User ", "content": "Why?"}, {"role": "assistant ", "content": "So."}]
    for record in (
        {"messages": [{"role": "system", "content": blank}, *said]},
        {"conversations": [{"from": "system", "value": blank}, *shared_gpt(ASK, SAY)]},
        {"system": blank, "prompt": "Why?", "completion": "So."},
    ):
        assert instruction(record) == ((ASK, SAY),)
    both = {"system": blank, "system_prompt": "Be brief.", "prompt": "Why?", "completion": "So."}
    assert instruction(both) == ((SYSTEM, ASK, SAY),)


def test_a_field_that_is_there_twice(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(
        '{"prompt": "a", "completion": "b"}\n'
        '{"prompt": "a", "completion": "b", "prompt": "c"}\n'
        '{"messages": [{"role": "user", "content": "a", "content": "b"}]}\n'
    )
    bad = [o for o in read(file, "instruction") if isinstance(o, Dropped)]
    assert [(o.reason, o.detail) for o in bad] == [
        ("duplicate_field", "a.jsonl:2: the field 'prompt' is there twice"),
        ("duplicate_field", "a.jsonl:3: the field 'content' is there twice"),
    ]
    table = tmp_path / "a.csv"
    table.write_text("prompt,prompt,completion\na,b,c\n")
    with pytest.raises(ExampleFileError, match=r"duplicate_field 1.*names 'prompt' twice"):
        read(table, "instruction")


def test_a_table_that_is_not_utf8(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_bytes("prompt,completion\na,b\ncafé,déjà\n".encode("latin-1"))
    (bad,) = (o for o in read(table, "instruction") if isinstance(o, Dropped))
    assert (bad.reason, bad.detail) == ("undecodable", "a.csv:3: 'prompt' is not UTF-8")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": "Why?"}, "unknown_shape"),
        ({"text": "So."}, "unknown_shape"),
        ({"prompt": "Why?", "completion": "  "}, "empty_text"),
        ({"prompt": "Why?", "completion": 4}, "wrong_type"),
        ({"instruction": "Why?", "output": None}, "empty_text"),
        ({"messages": plain(ASK, SAY, BACK)}, "no_answer"),
        ({"messages": plain(ASK)}, "no_answer"),
        ({"messages": plain(SAY)}, "no_question"),
        ({"messages": plain(SYSTEM, SAY)}, "no_question"),
        ({"messages": plain(ASK, SAY, OTHER)}, "no_question"),
        ({"messages": []}, "empty_text"),
        ({"messages": "Why?"}, "wrong_type"),
        ({"messages": ["Why?"]}, "wrong_type"),
        ({"messages": [{"role": "tool", "content": "4"}, *plain(SAY)]}, "unknown_role"),
        ({"prompt": "Why?", "completion": "\ud800"}, "undecodable"),
        ({"prompt": "Why?", "completion": "No.", "label": False}, "bad_answer"),
        ({"prompt": plain(ASK), "completion": plain(OTHER), "label": 0}, "bad_answer"),
        ({"prompt": "Why?", "completion": "No.", "label": "False"}, "bad_answer"),
        ({"messages": plain(ASK, OTHER), "kto_tag": False}, "bad_answer"),
        *(
            ({"prompt": "Why?", "completion": "No.", name: value}, "bad_answer")
            for name in ("label", "kto_tag", "desirable")
            for value in (False, "no", "Bad ", -1, "-1", "undesirable")
        ),
        *(
            ({"prompt": "Why?", "completion": "No.", name: value}, "nothing_to_learn")
            for name in ("weight", "train", "trainable", "loss_weight")
            for value in (False, 0, 0.0, "false")
        ),
        ({"messages": [{"role": "system", "content": ""}]}, "empty_text"),
        ({"messages": weighed(0, 0)}, "nothing_to_learn"),
        ({"messages": weighed(0.5, 1)}, "bad_weight"),
        ({"prompt": "Why?", "completion": "So.", "history": "Before."}, "wrong_type"),
        ({"prompt": "Why?", "completion": "So.", "history": [["a", "b", "c"]]}, "wrong_type"),
        ({"instruction": "Add.", "input": 3, "output": "So."}, "wrong_type"),
    ],
)
def test_rows_that_are_no_instruction(record: Any, reason: str) -> None:
    with pytest.raises(UnusableRowError) as caught:
        instruction(record)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": "Why?", "chosen": "So."}, "unknown_shape"),
        ({"chosen": "So.", "rejected": "No."}, "no_question"),
        ({"prompt": "Why?", "chosen": "So.", "rejected": " So.\n"}, "same_answers"),
        ({"prompt": "Why?", "chosen": "So.", "rejected": ""}, "empty_text"),
        ({"chosen": plain(ASK, SAY), "rejected": plain(ASK)}, "no_answer"),
        (
            {"chosen": plain(ASK, SAY, BACK, SAY), "rejected": plain(ASK, OTHER, BACK, SAY)},
            "diverges_early",
        ),
        (
            {"prompt": "Who?", "chosen": plain(ASK, SAY), "rejected": plain(ASK, OTHER)},
            "other_prompt",
        ),
        ({"chosen": plain(SAY), "rejected": plain(OTHER)}, "no_question"),
        (
            {"chosen": weighed(1, 0), "rejected": weighed(1, 1)[:-1] + plain(OTHER)},
            "nothing_to_learn",
        ),
        ({"prompt": "Why?", "chosen": "So.", "rejected": "No.", "weight": 0}, "nothing_to_learn"),
    ],
)
def test_rows_that_are_no_preference(record: Any, reason: str) -> None:
    with pytest.raises(UnusableRowError) as caught:
        preference(record)
    assert caught.value.reason == reason


def test_instances_are_rows_of_their_own() -> None:
    record = {"instruction": "Add.", "instances": [{"input": "1", "output": "2"}, {"output": "3"}]}
    assert [instruction(row)[0][-1].content for row in rows_in(record)] == ["2", "3"]


def test_bad_rows_are_rejected_by_line_and_the_others_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_bytes(
        b'{"prompt": "a", "completion": "b"}\n'
        b"\n"
        b"{not json\n"
        b'"text"\n'
        b"\xff\xfe\n"
        b'{"prompt": "a", "completion": ""}\n'
        + json.dumps({"prompt": "x" * 200_000, "completion": "b"}).encode()
        + b"\n"
        b'{"prompt": "c", "completion": "d"}'
    )
    found = read(file, "instruction")
    assert [o.where for o in found if isinstance(o, Example)] == ["mine.jsonl:1", "mine.jsonl:8"]
    bad = [o for o in found if isinstance(o, Dropped)]
    assert all(o.rejected for o in bad)
    assert [(o.reason, o.detail.split(": ")[0]) for o in bad] == [
        ("malformed_json", "mine.jsonl:3"),
        ("malformed_json", "mine.jsonl:4"),
        ("undecodable", "mine.jsonl:5"),
        ("empty_text", "mine.jsonl:6"),
        ("too_large", "mine.jsonl:7"),
    ]
    assert len({o.doc_id for o in found}) == len(found)


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


def test_a_damaged_file_gives_what_is_before_the_damage(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n} {'ab' * (n % 7)}?", "completion": f"{n * 7919}"} for n in range(4000)]
    data = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    file = tmp_path / "cut.jsonl.gz"
    file.write_bytes(data[: len(data) // 2])
    *read_rows, last = read(file, "instruction")
    assert isinstance(last, Dropped)
    assert last.reason == "truncated_file"
    assert len(read_rows) > 100
    assert all(isinstance(o, Example) for o in read_rows)


@pytest.mark.parametrize("pack", [partial(gzip.compress, mtime=0), zstandard.compress])
def test_behind_damage_reading_goes_on(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    rows = [json.dumps({"prompt": f"p{n}?", "completion": f"{n * 7919}"}) for n in range(90)]
    members = [pack("".join(f"{row}\n" for row in rows[i : i + 30]).encode()) for i in (0, 30, 60)]
    middle = len(members[0]) + len(members[1]) // 2
    file = tmp_path / "e.jsonl.gz"
    file.write_bytes(b"".join(members)[:middle] + b"\xff" * (len(members[1]) // 2 - 1) + members[2])
    outcomes = read(file, "instruction")
    kept = [o.turns[0][0].content for o in outcomes if isinstance(o, Example)]
    assert kept[:30] == [f"p{n}?" for n in range(30)]
    assert kept[-30:] == [f"p{n}?" for n in range(60, 90)]
    # What comes out of the damaged member may end in lines that are no rows.
    dropped = [o for o in outcomes if isinstance(o, Dropped)]
    (lost,) = (o for o in dropped if f"byte {len(members[0])}: " in o.detail)
    assert lost.reason in ("bad_record", "truncated_file")


def test_a_damaged_row_group_and_a_text_that_is_no_utf8(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}?", "completion": f"a{n}"} for n in range(30)]
    file = tmp_path / "e.parquet"
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, file, row_group_size=10, write_page_checksum=True, compression="none")
    data = file.read_bytes()
    column = pq.ParquetFile(file).metadata.row_group(1).column(0)
    at = column.dictionary_page_offset or column.data_page_offset
    end = at + column.total_compressed_size
    file.write_bytes(data[:at] + b"\xff" * (end - at) + data[end:])
    outcomes = read(file, "instruction")
    assert len([o for o in outcomes if isinstance(o, Example)]) == 20
    (lost,) = (o for o in outcomes if isinstance(o, Dropped))
    assert lost.reason == "bad_record"
    assert "e.parquet:11 to 20 (row group 1): " in lost.detail

    texts = pa.array([b"a", b"\xff", b"c"]).cast(pa.binary()).view(pa.string())
    turns = pa.array(
        [[{"role": "user", "content": text.as_py()}] for text in texts.view(pa.binary())],
        pa.list_(pa.struct([("role", pa.string()), ("content", pa.binary())])),
    )
    nested = pa.ListArray.from_arrays(
        turns.offsets,
        pa.StructArray.from_arrays(
            [turns.values.field("role"), turns.values.field("content").view(pa.string())],
            ["role", "content"],
        ),
    )
    pq.write_table(pa.table({"prompt": nested, "completion": ["x", "y", "z"]}), file)
    first, bad, last = read(file, "instruction")
    assert isinstance(first, Example)
    assert isinstance(last, Example)
    assert isinstance(bad, Dropped)
    assert bad.reason == "undecodable"
    assert "'prompt' is not UTF-8 at byte 0" in bad.detail


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("wrong.jsonl", '{"text": "a"}\n', r"none of its 1 rows .*wrong.jsonl:1: .*text"),
        ("empty.jsonl", "", "empty.jsonl: empty"),
        ("one.json", '{"prompt": "a", "completion": "b"}', "malformed_json 1"),
        ("bad.parquet", "nonsense", "not_parquet 1"),
        ("notes.txt", "a", "end in .jsonl"),
    ],
)
def test_a_file_without_an_example_is_an_error(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ExampleFileError, match=message):
        read(tmp_path / name, "instruction")


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


@pytest.mark.parametrize(
    ("name", "kind", "examples", "rejected"),
    [
        ("sft/gsm8k_train.jsonl.gz", "instruction", 7473, {}),
        ("sft/rasbt_instruction_1100.json", "instruction", 1100, {}),
        ("sft/selfinstruct_seed_175.jsonl", "instruction", 175, {}),
        ("sft/selfinstruct_user_oriented_252.jsonl", "instruction", 252, {}),
        ("pref/dpo_en_demo_300.json.gz", "preference", 299, {}),
        ("pref/rasbt_preference_1100.json", "preference", 1094, {"same_answers": 6}),
        (
            "pref/hh_rlhf_harmless_base_test.jsonl.gz",
            "preference",
            2303,
            {"diverges_early": 5, "empty_text": 4},
        ),
    ],
)
def test_published_files_are_understood(
    name: str, kind: Kind, examples: int, rejected: dict[str, int]
) -> None:
    if not (DATA / name).is_file():
        pytest.skip(f"needs {name} of the shared data beside the checkout")
    found = read(DATA / name, kind)
    assert sum(isinstance(o, Example) for o in found) == examples
    assert Counter(o.reason for o in found if isinstance(o, Dropped)) == rejected
