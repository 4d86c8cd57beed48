"""From tokenised documents to rows, and from rows to the files a trainer maps."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.tokens import sequences, unpacking
from llm.tokens.flat_tokens import FlatTokens
from llm.tokens.sequences import SEQUENCES, SOURCE, length_histogram
from llm.tokens.token_file import (
    BadSequencesError,
    DamagedTokenFileError,
    NoSpaceError,
    TokenFile,
    build,
)

PAD = 3
LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=25)


def documents(lengths: list[int], split: str = "train") -> list[dict]:
    """Documents whose tokens are all different: no token of another document can pass for one."""
    begins = np.cumsum([10, *lengths]).tolist()
    return [
        {
            "doc_id": f"{(number * 7919) % 10007:032x}",
            "split": split,
            "source": "test",
            "tokens": list(range(begin, begin + length)),
        }
        for number, (begin, length) in enumerate(zip(begins, lengths, strict=False))
    ]


def as_table(rows: list[dict]) -> pa.Table:
    schema = pa.schema(
        [("doc_id", pa.string()), ("split", pa.string()), ("source", pa.string())]
    ).append(pa.field("tokens", pa.list_(pa.int32())))
    return pa.Table.from_pylist(rows, schema=schema)


def packed_rows(
    flat: FlatTokens, uses: list[int], capacity: int, strategy: str, seed: int | None
) -> list[dict]:
    packed = sequences.pack(flat.index, np.array(uses), capacity, strategy, seed)
    tables = list(sequences.rows(packed, flat, "train", PAD, 0))
    return pa.concat_tables([SEQUENCES.empty_table(), *tables]).to_pylist()


@settings(deadline=None, max_examples=60)
@given(
    lengths=LENGTHS,
    repeat=st.lists(st.integers(0, 3), min_size=25, max_size=25),
    capacity=st.integers(2, 16),
    strategy=st.sampled_from(["best_fit", "concatenate"]),
    seed=st.none() | st.integers(0, 3),
    random=st.randoms(use_true_random=False),
)
def test_rows_hold_each_document_as_often_as_asked(
    lengths, repeat, capacity, strategy, seed, random
) -> None:
    rows = documents(lengths)
    by_id = {row["doc_id"]: row["tokens"] for row in rows}
    with tempfile.TemporaryDirectory() as name:
        flat = FlatTokens(Path(name) / "flat", [as_table(rows[:4]), as_table(rows[4:])])
        ids = flat.index.column("doc_id").to_pylist()
        assert ids == sorted(by_id)
        uses = dict(zip(ids, repeat, strict=False))
        found = packed_rows(flat, [uses[i] for i in ids], capacity, strategy, seed)
        random.shuffle(rows)
        other = FlatTokens(Path(name) / "other", [as_table(rows)])
        assert packed_rows(other, [uses[i] for i in ids], capacity, strategy, seed) == found
    placed: dict[str, list[int]] = {i: [] for i in ids}
    for number, row in enumerate(found):
        assert row["sequence_id"] == number
        assert len(row["tokens"]) == capacity
        at = 0
        segments = zip(row["doc_ids"], row["doc_offsets"], row["doc_lengths"], strict=True)
        for doc_id, offset, length in segments:
            assert row["tokens"][at : at + length] == by_id[doc_id][offset : offset + length]
            placed[doc_id] += range(offset, offset + length)
            at += length
        assert row["tokens"][at:] == [PAD] * (capacity - at)
    for doc_id, tokens in by_id.items():
        assert sorted(placed[doc_id]) == sorted([*range(len(tokens))] * uses[doc_id])


def test_another_seed_is_another_order_of_the_same_rows(tmp_path: Path) -> None:
    rows = documents([9] * 100)
    flat = FlatTokens(tmp_path / "flat", [as_table(rows)])
    one, two = (
        [row["tokens"] for row in packed_rows(flat, [1] * 100, 9, "best_fit", seed)]
        for seed in (1, 2)
    )
    assert one != two
    assert sorted(one) == sorted(two)


def test_histogram_of_lengths() -> None:
    assert length_histogram(np.array([1, 2, 3, 4, 9])) == ([1, 2, 4, 8, 16], [1, 2, 1, 1])
    assert length_histogram(np.array([], dtype=np.int64)) == ([1, 2], [0])


def written(folder: Path, rows: list[dict], per_part: int = 3) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    schema = SEQUENCES.append(SOURCE) if "source" in rows[0] else SEQUENCES
    for start in range(0, len(rows), per_part):
        path = folder / f"part-{start:03}.parquet"
        pq.write_table(
            pa.Table.from_pylist(rows[start : start + per_part], schema=schema),
            path,
            row_group_size=2,
        )
        paths.append(path)
    return paths


def sequence(split: str, tokens: list[int], lengths: list[int]) -> dict:
    return {
        "sequence_id": 0,
        "split": split,
        "tokens": tokens,
        "doc_ids": ["a"] * len(lengths),
        "doc_offsets": [0] * len(lengths),
        "doc_lengths": lengths,
    }


ROWS = [
    sequence("train", [5, 6, 7, 8], [3, 1]),
    sequence("train", [9, 9, 3, 3], [2]),
    sequence("validation", [1, 2, 4, 3], [1, 1, 1]),
    sequence("train", [8, 7, 6, 5], [4]),
    sequence("train", [1, 2, 0, 0], [2, 2]),
]


def test_token_file_holds_the_rows_of_each_split_in_order(tmp_path: Path) -> None:
    made = build(written(tmp_path / "parts", ROWS), tmp_path / "scratch", "d" * 64, 10)
    found = TokenFile.open(made.folder, deep=True)
    assert found.train.tolist() == [row["tokens"] for row in ROWS if row["split"] == "train"]
    assert found.validation.tolist() == [[1, 2, 4, 3]]
    assert found.train.dtype == np.uint16
    assert isinstance(found.train, np.memmap)
    assert found.sequence_length == 3
    assert found.lengths["train"].tolist() == [4, 2, 4, 4]
    assert found.lengths["validation"].tolist() == [3]
    assert found.segment_ids("train", [3, 0, 1]).tolist() == [
        [0, 0, 1, 1],
        [0, 0, 0, 1],
        [0, 0, -1, -1],
    ]
    assert found.segment_ids("validation", np.array([0])).tolist() == [[0, 1, 2, -1]]


def test_token_file_of_a_packed_corpus(tmp_path: Path) -> None:
    rows = documents([3, 17, 8, 1, 1, 40, 5])
    flat = FlatTokens(tmp_path / "flat", [as_table(rows)])
    found = packed_rows(flat, [1] * 7, 9, "best_fit", 0)
    file = build(written(tmp_path / "parts", found), tmp_path, "e" * 64, 100_000)
    assert file.train.dtype == np.uint32
    assert file.train.tolist() == [row["tokens"] for row in found]
    assert file.validation.shape == (0, 9)
    ids = file.segment_ids("train", range(len(found)))
    for row, segments in zip(found, ids.tolist(), strict=True):
        expected = [n for n, length in enumerate(row["doc_lengths"]) for _ in range(length)]
        assert segments == expected + [-1] * (9 - len(expected))


def test_a_second_call_writes_nothing_and_another_id_another_file(tmp_path: Path) -> None:
    parts = written(tmp_path / "parts", ROWS)
    first = build(parts, tmp_path / "scratch", "d" * 64, 10)
    stamp = (first.folder / "train.tokens").stat().st_mtime_ns
    again = build([], tmp_path / "scratch", "d" * 64, 10)
    assert again.folder == first.folder
    assert (again.folder / "train.tokens").stat().st_mtime_ns == stamp
    other = build(parts, tmp_path / "scratch", "e" * 64, 10)
    assert other.folder != first.folder
    assert sorted(path.name for path in (tmp_path / "scratch").iterdir()) == sorted(
        [first.folder.name, other.folder.name]
    )


def test_processes_that_build_at_once_share_one_file(tmp_path: Path) -> None:
    parts = written(tmp_path / "parts", ROWS)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(build, parts, tmp_path / "s", "d" * 64, 10) for _ in range(4)]
        files = [call.result() for call in calls]
    assert {file.folder for file in files} == {files[0].folder}
    assert [file.train.tolist() for file in files] == [files[0].train.tolist()] * 4
    assert [path.name for path in (tmp_path / "s").iterdir()] == [files[0].folder.name]


def test_what_a_killed_process_left_goes_with_the_next_build(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    left, living = scratch / "tokens-eeee-10.a.tmp", scratch / "tokens-eeee-10.b.tmp"
    for folder in (left, living):
        folder.mkdir(parents=True)
        (folder / "train.tokens").write_bytes(b"half")
    held = os.open(living, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    made = build(written(tmp_path / "parts", ROWS), scratch, "d" * 64, 10)
    os.close(held)
    assert sorted(scratch.iterdir()) == sorted([made.folder, living])


def of_source(source: str | None, *rows: dict) -> list[dict]:
    return [{**row, "source": source} for row in rows]


def test_rows_of_a_source_are_a_range(tmp_path: Path) -> None:
    train = [row for row in ROWS if row["split"] == "train"]
    held = [row for row in ROWS if row["split"] == "validation"]
    rows = [*of_source("code", *train[:3]), *of_source("docs", *train), *of_source(None, *held)]
    found = build(written(tmp_path / "parts", rows), tmp_path / "scratch", "d" * 64, 10)
    assert found.sources == {"code": range(3), "docs": range(3, 7)}
    assert found.train.tolist() == [row["tokens"] for row in rows[:7]]
    assert found.validation.tolist() == [row["tokens"] for row in held]
    mixed = [*of_source("code", train[0]), *of_source("docs", train[1]), *of_source("code", *train)]
    with pytest.raises(BadSequencesError, match="'code' do not lie together"):
        build(written(tmp_path / "mixed", mixed), tmp_path / "scratch", "e" * 64, 10)
    without = build(written(tmp_path / "plain", ROWS), tmp_path / "scratch", "f" * 64, 10)
    assert without.sources == {}


def test_row_groups_come_in_order_whichever_is_decoded_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More groups than threads, the early ones slow."""
    rows = [sequence("train", [n % 50, n // 50, 1, 2], [4]) for n in range(120)]
    parts = written(tmp_path / "parts", rows, per_part=10)
    decode = unpacking._decode

    def slow(group: Any, *others: Any) -> Any:
        time.sleep(0.01 if group.number == 0 else 0)
        return decode(group, *others)

    monkeypatch.setattr(unpacking, "_decode", slow)
    found = build(parts, tmp_path / "scratch", "d" * 64, 50)
    assert found.train.tolist() == [row["tokens"] for row in rows]
    assert TokenFile.open(found.folder, deep=True).lengths["train"].tolist() == [4] * 120


def test_no_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = written(tmp_path / "parts", ROWS)
    usage = shutil.disk_usage(tmp_path)._replace(free=39)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(NoSpaceError, match=r"No space left .*scratch: 0\.0 MB needed"):
        build(parts, tmp_path / "scratch", "d" * 64, 10)
    assert list((tmp_path / "scratch").iterdir()) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=40))
    assert len(build(parts, tmp_path / "scratch", "d" * 64, 10).train) == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk")
def test_a_disk_that_fills_up_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def full(path: Path, *mode: Any, **settings: Any) -> Any:
        real = "/dev/full" if path.name == "train.starts" else path
        return opened(Path(real), *mode, **settings)

    parts = written(tmp_path / "parts", ROWS)
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(NoSpaceError, match="No space left"):
        build(parts, tmp_path / "scratch", "d" * 64, 10)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_damaged_file_is_refused_and_built_again(tmp_path: Path) -> None:
    parts = written(tmp_path / "parts", ROWS)
    made = build(parts, tmp_path / "scratch", "d" * 64, 10)
    path = made.folder / "train.tokens"
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"\x01")
    with pytest.raises(DamagedTokenFileError, match=r"train\.tokens"):
        TokenFile.open(made.folder, deep=True)
    path.write_bytes(good[:-2])
    with pytest.raises(DamagedTokenFileError, match=r"train\.tokens"):
        TokenFile.open(made.folder)
    assert build(parts, tmp_path / "scratch", "d" * 64, 10).train.shape == (4, 4)
    (made.folder / "header.json").unlink()
    with pytest.raises(DamagedTokenFileError, match="header"):
        TokenFile.open(made.folder)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (sequence("train", [5, 6, 7, 10], [4]), "vocabulary of 10"),
        (sequence("train", [5, 6, 7, -1], [4]), "vocabulary of 10"),
        (sequence("train", [5, 6, 7], [3]), "3 tokens"),
        (sequence("train", [5, 6, 7, 8], [4, 4]), "segments of 8"),
        (sequence("test", [5, 6, 7, 8], [4]), "'test'"),
        (sequence("train", [5, None, 7, 8], [4]), "token of one, is null"),
    ],
)
def test_rows_that_are_no_sequences_are_refused(tmp_path: Path, row: dict, message: str) -> None:
    parts = written(tmp_path / "parts", [*ROWS, row])
    with pytest.raises(BadSequencesError, match=message):
        build(parts, tmp_path / "scratch", "d" * 64, 10)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_no_sequences_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSequencesError, match="no sequences"):
        build([], tmp_path, "d" * 64, 10)
