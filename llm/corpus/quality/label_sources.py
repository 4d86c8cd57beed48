"""Offering the rows of a label source to its sampler: documents of the corpus, or files.

`offer_documents` and `offer_file` yield the rows that cannot be used as (doc_id, reason,
detail); all others are counted by the sampler.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import xxhash

from llm.corpus.quality.label_files import LabelFieldError, meets, read_label_file
from llm.corpus.quality.labels import LeftOut, Sampler, within
from llm.process.guarded import LostDocument, guarded


@dataclass(frozen=True)
class Condition:
    """Which rows of a source are taken, and from which field.

    Attributes:
        text_field: holds the text.
        where_field, where_value: the row's field must have this value; empty field = no condition.
        url_pattern: regular expression found in the URL of a document; empty = no condition.
        opening: of a page of documentation (`pydocs://`), only what stands before its first
            definition, the docstring of the module; other documents are not selected.
    """

    text_field: str
    where_field: str
    where_value: str
    url_pattern: str
    opening: bool


def module_docstring(url: str, text: str) -> str | None:
    """The part of a documentation page above its first definition; `None` for other pages.

    A page begins with the module's name on a line of its own; a definition begins with its full
    dotted name at the start of a line.
    """
    module = url.rpartition("/")[2]
    first, _, rest = text.partition("\n")
    if not url.startswith("pydocs://") or first.strip() != module:
        return None
    definition = re.search(rf"^(?:class )?{re.escape(module)}\.\w", rest, re.MULTILINE)
    return (rest[: definition.start()] if definition else rest).strip()


@dataclass(frozen=True)
class Candidate:
    """What a source makes of a document: a normalised text to sample, or why not.

    Attributes:
        own: the text has no doc_id but is a text of its own.
        whole: the text as it was, where that is asked for.
    """

    doc_id: str
    line: str
    own: bool
    whole: str = ""
    removed: str = ""
    rejected: str = ""


def offer_documents(
    sampler: Sampler, tables: Iterable[pa.Table], condition: Condition
) -> Iterator[tuple[str, str, str]]:
    """Offer documents: tables with doc_id, url and the condition's fields.

    Raises:
        LabelFieldError: the documents lack a field of the condition.
    """
    source = f"document in label source {sampler.source}"
    for found in guarded(
        "llm.corpus.quality.label_sources:judge",
        (condition, sampler.bounds, sampler.whole),
        _with_fields(sampler, tables, condition),
        condition.text_field,
    ):
        if isinstance(found, LostDocument):
            sampler.reject(found.reason)
            yield found.doc_id, found.reason, f"{source}: {found.detail}"
            continue
        for judged in found:
            if judged.rejected:
                sampler.reject(judged.rejected)
                yield judged.doc_id, judged.rejected, source
            elif judged.removed:
                sampler.remove(judged.removed)
            else:
                sampler.take(None if judged.own else judged.doc_id, judged.line, judged.whole)


def _with_fields(
    sampler: Sampler, tables: Iterable[pa.Table], condition: Condition
) -> Iterator[pa.Table]:
    """The columns the condition needs."""
    for table in tables:
        for field in (condition.text_field, condition.where_field):
            if field and field not in table.schema.names:
                raise LabelFieldError(
                    f"label source {sampler.source!r}: documents have no column {field!r}; "
                    f"they have {', '.join(table.schema.names)}"
                )
        wanted = ("doc_id", "url", condition.text_field, condition.where_field)
        yield table.select([name for name in dict.fromkeys(wanted) if name])


def judge(
    documents: pa.Table, condition: Condition, bounds: tuple[int, int], whole: bool
) -> list[Candidate]:
    """What a source makes of each document.

    Args:
        bounds: least and most characters of a text; 0 = no bound.
        whole: whether texts are given back as they were, too.
    """
    pattern = re.compile(condition.url_pattern)
    where = condition.where_field
    rows = zip(
        documents.column("doc_id").to_pylist(),
        documents.column("url").to_pylist(),
        documents.column(condition.text_field).to_pylist(),
        documents.column(where).to_pylist() if where else [None] * documents.num_rows,
        strict=True,
    )
    judged = []
    for identity, url, text, value in rows:
        chosen = not where or meets(value, condition.where_value)
        if condition.opening and isinstance(text, str):
            text = module_docstring(url or "", text)
            chosen = chosen and bool(text)
        # An opening is a text of its own: its page may be a label too.
        own = condition.opening
        if not chosen or not pattern.search(url or ""):
            judged.append(Candidate(identity, "", own, removed="not_selected"))
        elif not isinstance(text, str) or not text.strip():
            judged.append(Candidate(identity, "", own, rejected="no_text"))
        else:
            line = within(text, bounds)
            if isinstance(line, LeftOut):
                judged.append(Candidate(identity, "", own, removed=line.reason))
            else:
                judged.append(Candidate(identity, line, own, text if whole else ""))
    return judged


def offer_file(
    sampler: Sampler, path: Path, name: str, sha256: str, condition: Condition
) -> Iterator[tuple[str, str, str]]:
    """Offer the rows of one label file.

    Args:
        name: what the file is called in messages; its ending decides the format.
        sha256: of its content.

    Raises:
        LabelFieldError: no row has the text field or the field of the condition.
        LabelFormatError: the file is of no known kind.
    """
    rows = read_label_file(
        path, name, condition.text_field, condition.where_field, condition.where_value
    )
    for row in rows:
        if not row.selected:
            sampler.remove("not_selected")
        elif row.text is None:
            reason = row.problem or "no_text"
            sampler.reject(reason)
            # No text to be known by: the file's content and the row's place in it stand in.
            key = xxhash.xxh3_128_hexdigest(f"{sha256} {row.number}".encode())
            yield key, reason, f"{name}, {row.detail or f'row {row.number}'}"
        else:
            sampler.offer(None, row.text)
