"""Tasks of a test: definitions with every field set, and files of records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm.evaluation.tasks.definition import Definition, TaskFile, bare


def rows(path: Path, records: Sequence[Any]) -> TaskFile:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return TaskFile(path.name, path)


def task(**fields: Any) -> Definition:
    return replace(bare("quiz", "multiple_choice"), **fields)
