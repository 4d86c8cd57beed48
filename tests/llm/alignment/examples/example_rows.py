"""Rows as people write them, and what is made of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from llm.alignment.examples.files import FileSettings, examples_in
from llm.alignment.examples.tables import Kind, Message, Outcome

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
