"""Items of tasks as a run in training is asked them: tokens alone, in one file.

The trainer reads neither texts nor templates. Items are those that an evaluation of the base model
would ask, tokenised in the same way.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm.evaluation.tasks.answers import scorable
from llm.evaluation.tasks.definition import Definition
from llm.evaluation.tasks.held_out import HeldOutTasks
from llm.evaluation.tasks.items import Item, read_items
from llm.evaluation.validation_bytes import NoValidationTextError, validation_text
from llm.process.run_file import from_record
from llm.tokens.bulk_encoding import BulkEncoder
from llm.tokens.hf_folder import load_tokenizer
from llm.tokens.special_tokens import END_OF_TEXT
from llm.training.task_items import TASK_ITEMS


class BaseModelEncoder:
    """An `Encoder` of the model to be, by its tokenizer's folder: special tokens that a text spells
    out are text, and a text that nothing precedes follows the end of another."""

    def __init__(self, folder: Path, context: int) -> None:
        self.context = context
        self._encoder = BulkEncoder(folder)
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        prefix = load_tokenizer(folder).token_to_id(config.get("bos_token") or END_OF_TEXT)
        assert prefix is not None  # every tokenizer of ours has that token
        self.prefix: int = prefix

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._encoder.ids(text).tolist()
        return ids

    encode_bare = encode


def write_items(
    documents: Sequence[str],
    validation_bytes: int,
    seed: int,
    tasks: Sequence[Mapping[str, Any]],
    limit: int,
    tokenizer: Path,
    context: int,
    path: Path,
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Write the file that a run in training is given.

    Args:
        documents: Parquet files, of whose validation documents two tasks are made.
        validation_bytes, seed: of these documents, and of what is drawn from them.
        tasks: fields of `Definition`, of kind multiple choice or minimal pairs.
        limit: items of each task, the first ones.
        tokenizer: its folder.

    Returns:
        Tokens that one measurement reads; and of each task kind, items, chance (what a draw among
        the choices scores), and items that cannot be scored, by reason. None of tasks without any.

    Raises:
        EvaluationFileError, TaskItemError: a file, or a record in it, is not what its task says.
    """
    asked = _held_out(documents, validation_bytes, seed, limit)
    for record in tasks:
        task = from_record(Definition, record, f"task {record['name']}")
        asked.append((task, read_items(task, limit)))
    table, facts = _table(BaseModelEncoder(tokenizer, context), asked)
    pq.write_table(table, path)
    lengths = [pc.sum(pc.list_value_length(table.column(n))) for n in ("prompt", "continuation")]
    return sum(length.as_py() or 0 for length in lengths) - table.num_rows, facts


def _held_out(
    documents: Sequence[str], validation_bytes: int, seed: int, limit: int
) -> list[tuple[Definition, list[Item]]]:
    columns = ["doc_id", "split", "source", "text"]
    tables = (pq.read_table(path, columns=columns) for path in documents)
    try:
        text = validation_text(tables, validation_bytes)
    except NoValidationTextError:
        return []
    return HeldOutTasks(text.doc_ids, text.texts, limit, seed).tasks


def _table(
    encoder: BaseModelEncoder, tasks: Sequence[tuple[Definition, Sequence[Item]]]
) -> tuple[pa.Table, dict[str, dict[str, Any]]]:
    """The items that can be scored, and facts of each task."""
    rows: list[Mapping[str, Any]] = []
    facts: dict[str, dict[str, Any]] = {}
    for task, items in tasks:
        usable, left_out = scorable(encoder, task, items)
        sizes = [len(each.pairs) for each in usable]
        if not sizes:
            continue
        facts[task.name] = {
            "kind": task.kind,
            "items": len(usable),
            "chance": sum(1 / size for size in sizes) / len(sizes),
            "left_out": dict(Counter(left_out.values())),
        }
        rows += [
            {
                "task": task.name,
                "kind": task.kind,
                "item": each.item.name,
                "prompt": pair.prompt,
                "continuation": pair.continuation,
                "characters": len(choice),
                "right": place == each.item.expected,
            }
            for each in usable
            for place, (pair, choice) in enumerate(zip(each.pairs, each.item.choices, strict=True))
        ]
    return pa.Table.from_pylist(rows, schema=TASK_ITEMS), facts
