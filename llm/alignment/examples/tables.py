"""Examples as rows: what they are made of, their identity, and the columns of their tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import pyarrow as pa
import xxhash

from llm.corpus.identity import doc_id

INSTRUCTION: Final = "instruction"
PREFERENCE: Final = "preference"
THUMB: Final = "thumb"
Kind = Literal["instruction", "preference", "thumb"]

_MESSAGE = [
    pa.field("role", pa.string(), nullable=False),
    pa.field("content", pa.string(), nullable=False),
]
MESSAGES = pa.list_(pa.struct(_MESSAGE))
# Of an instruction: an answer of the assistant may be there without being learned.
SUPERVISED_MESSAGES = pa.list_(
    pa.struct([*_MESSAGE, pa.field("supervised", pa.bool_(), nullable=False)])
)
_HEAD = (
    pa.field("doc_id", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("split", pa.string(), nullable=False),
    pa.field("parent_doc_ids", pa.list_(pa.string()), nullable=False),
)
INSTRUCTIONS = pa.schema([*_HEAD, pa.field("messages", SUPERVISED_MESSAGES, nullable=False)])
PREFERENCES = pa.schema(
    [
        *_HEAD,
        *(pa.field(name, MESSAGES, nullable=False) for name in ("prompt", "chosen", "rejected")),
    ]
)
# desirable: a thumb up.
THUMBS = pa.schema(
    [
        *_HEAD,
        *(pa.field(name, MESSAGES, nullable=False) for name in ("prompt", "answer")),
        pa.field("desirable", pa.bool_(), nullable=False),
    ]
)


class Message(NamedTuple):
    """One turn.

    Attributes:
        role: "system", "user", "assistant" or "tool" (what a tool gave back).
        supervised: false for an answer that is not to be learned; of one with a thumb, what that
            says.
    """

    role: str
    content: str
    supervised: bool = True


Turns = tuple[Message, ...]


@dataclass(frozen=True)
class Example:
    """One row of a table of examples.

    Attributes:
        source: of its document, or the name of its file.
        parents: doc_ids of the documents it is made of; of the user's own rows there are none.
        turns: (messages) of an instruction, (prompt, chosen, rejected) of a preference, (prompt,
            answer) of a thumb.
        where: "<file>:<line>" or the URL of the document, for people.
    """

    kind: Kind
    source: str
    split: str
    parents: tuple[str, ...]
    turns: tuple[Turns, ...]
    where: str

    @property
    def doc_id(self) -> str:
        """Hex xxh3-128 of source, kind and content: the place it was found at is no part."""
        return doc_id(self.source, self.kind, content(self.turns))

    def same(self) -> int:
        """A number that examples of equal kind and content share, whatever their source."""
        return xxhash.xxh3_128_intdigest(self.kind.encode() + b"\0" + content(self.turns))

    def opening(self) -> str:
        """What the conversation begins with; see `opening`."""
        return opening(self.turns[0])


@dataclass(frozen=True)
class Dropped:
    """A candidate or row that becomes no example.

    Attributes:
        rejected: it cannot be read or used, as opposed to being left out by a setting.
        value, threshold: of the setting it fails, where there is one.
    """

    kind: Kind
    source: str
    split: str
    doc_id: str
    rejected: bool
    reason: str
    value: float | None
    threshold: float | None
    detail: str


Outcome = Example | Dropped


def content(turns: Sequence[Turns]) -> bytes:
    """Canonical bytes of conversations: JSON lists of [role, content], and false behind these
    where a message is not to be learned."""
    plain = [[message[: 2 if message.supervised else 3] for message in each] for each in turns]
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()


def opening(turns: Turns) -> str:
    """What the user says before the first answer, without regard to case and white space.

    Examples with the same opening stay on one side of the split: a conversation and its
    continuation, an instruction and a preference for the same prompt.
    """
    words: list[str] = []
    for message in turns:
        if message.role == "assistant":
            break
        if message.role == "user":
            words += message.content.split()
    return " ".join(words).casefold()


def instruction_table(examples: Sequence[Example]) -> pa.Table:
    """Rows with the columns of `INSTRUCTIONS`, in the order given."""
    return _table(examples, ("messages",), INSTRUCTIONS)


def preference_table(examples: Sequence[Example]) -> pa.Table:
    """Rows with the columns of `PREFERENCES`, in the order given."""
    return _table(examples, ("prompt", "chosen", "rejected"), PREFERENCES)


def thumb_table(examples: Sequence[Example]) -> pa.Table:
    """Rows with the columns of `THUMBS`, in the order given."""
    found = _table(
        examples, ("prompt", "answer"), THUMBS.remove(THUMBS.get_field_index("desirable"))
    )
    said = [example.turns[1][-1].supervised for example in examples]
    return found.append_column(THUMBS.field("desirable"), pa.array(said, pa.bool_()))


def _is_supervised(message: Message) -> bool:
    return message.role == "assistant" and message.supervised


def _table(examples: Sequence[Example], names: Sequence[str], schema: pa.Schema) -> pa.Table:
    rows = [
        {
            "doc_id": example.doc_id,
            "source": example.source,
            "split": example.split,
            "parent_doc_ids": list(example.parents),
            **{
                name: [
                    {**message._asdict(), "supervised": _is_supervised(message)}
                    for message in turns
                ]
                for name, turns in zip(names, example.turns, strict=True)
            },
        }
        for example in examples
    ]
    return pa.Table.from_pylist(rows, schema=schema)
