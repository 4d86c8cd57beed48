"""Examples as lines of JSON that other programs read: messages, and pairs of answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llm.alignment.data import Limit, instruction_rows, preference_rows
from llm.tables import TRAIN, VALIDATION
from llm.tokens.chat import ChatEncoder


def write_rows(
    examples: Sequence[Path],
    chat: ChatEncoder,
    limit: Limit,
    files: Mapping[str, Path],
    last_only: bool,
) -> dict[str, int]:
    """Write the rows that a run of ours would use, each into the file of its split.

    Args:
        examples: instructions, written as messages, each answer with `train` (is it to be learned);
            or preferences, written as messages, chosen and rejected.
        files: by split.
        last_only: only the last answer of a conversation is to be learned.

    Returns:
        Rows by split.
    """
    counts = dict.fromkeys((TRAIN, VALIDATION), 0)
    instructions = all("messages" in pq.read_schema(path).names for path in examples)
    find = instruction_rows if instructions else preference_rows
    with files[TRAIN].open("w") as train, files[VALIDATION].open("w") as validation:
        streams = {TRAIN: train, VALIDATION: validation}
        for table in _tables(examples):
            used = set(find([table], chat, limit).used.column("doc_id").to_pylist())
            for row in table.to_pylist():
                if row["doc_id"] in used:
                    line = _messages(row, last_only) if instructions else _pair(row)
                    streams[row["split"]].write(json.dumps(line, ensure_ascii=False) + "\n")
                    counts[row["split"]] += 1
    return counts


def _tables(examples: Sequence[Path]) -> Iterator[pa.Table]:
    for path in examples:
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            yield file.read_row_group(group)


def _messages(row: Mapping[str, Any], last_only: bool) -> dict[str, Any]:
    turns = []
    last = len(row["messages"]) - 1
    for place, message in enumerate(row["messages"]):
        turn = _turn(message)
        if message["role"] == "assistant":
            passed_over = last_only and place < last
            turn["train"] = message.get("supervised", True) and not passed_over
        turns.append(turn)
    return {"messages": turns}


def _pair(row: Mapping[str, Any]) -> dict[str, Any]:
    answers = {name: _turn(row[name][-1]) for name in ("chosen", "rejected")}
    return {"messages": [_turn(message) for message in row["prompt"]], **answers}


def _turn(message: Mapping[str, Any]) -> dict[str, Any]:
    return {"role": message["role"], "content": message["content"]}
