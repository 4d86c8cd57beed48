"""Which artifacts of a home hold some pages, and which models were made of them.

Rows are looked for by doc_id: in a table of documents, of packed sequences (`doc_ids`) and of
examples (`parent_doc_ids`, whose own ids are then looked for too). What has no rows, a model, a
tokenizer, a classifier, is known by what it read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pyarrow as pa

from llm.corpus.forget.opt_outs import OptOuts
from llm.tables import VALIDATION
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.manifest import File, OutputRecord
from tasks.engine.store.part_files import read_part
from tasks.engine.store.published import published
from tasks.engine.store.store import Store

_OWN, _MANY, _PARENTS = "doc_id", "doc_ids", "parent_doc_ids"
_SPLIT = "split"
# Columns with what a page says; a table without any of them tells only that there was such a page.
_SAY = frozenset(
    ("html", "text", "tokens", "messages", "prompt", "chosen", "rejected", "answer", "completion")
)
# They show artifacts and measure models; nothing learns from them.
_INDEX = "index"  # its tables name the texts that its blocks have
_ONLY_SHOW = frozenset(("fetch", _INDEX, "report", "evaluate", "judge"))
_MODEL = "model"
_CLASSIFIERS = "quality"  # its models tell texts apart, and say none
_THREADS = 8
CERTIFICATES = "forgotten"


@dataclass(frozen=True)
class Page:
    """A page that is to be left out, as `source` has it."""

    doc_id: str
    url: str
    source: str


@dataclass(frozen=True)
class Holder:
    """An attempt that holds pages, or was made of them.

    Attributes:
        rows: of outputs that have what they say, by name.
        mentions: rows of outputs that have their ids alone.
        learned: it is a model, tokenizer or classifier that learned from them.
        in_force: pointers that mean it, as "recipe@channel".
    """

    artifact: Artifact
    rows: Mapping[str, int]
    mentions: Mapping[str, int]
    learned: bool
    in_force: tuple[str, ...]

    @property
    def is_model(self) -> bool:
        """Whether it is a language model, or files of one to hand on, that learned from them."""
        makes_one = _MODEL in self.artifact.manifest.outputs
        return self.learned and makes_one and self.artifact.stage != _CLASSIFIERS

    @property
    def name(self) -> str:
        """Stage, build and attempt."""
        manifest = self.artifact.manifest
        return f"{manifest.stage}/{manifest.build_id[:16]}/{manifest.attempt}"


@dataclass(frozen=True)
class Held:
    """What a home has of some pages.

    Attributes:
        holders: each after those it was made of.
        documents: artifacts were looked through that have so many rows of pages together; a file
            that was read anew has those of its pages twice.
    """

    pages: tuple[Page, ...]
    holders: tuple[Holder, ...]
    documents: int

    @property
    def models(self) -> list[Holder]:
        """Language models that learned from them."""
        return [holder for holder in self.holders if holder.is_model]


def every_attempt(store: Store) -> list[Artifact]:
    """All that was ever published and not removed, each after those it was made of.

    The order is that of their own records: to know all stages takes longer than to search.
    """
    found: dict[tuple[str, str, str], Artifact] = {}
    for stage in sorted(store.names("artifacts")):
        for build in sorted(store.names(f"artifacts/{stage}")):
            for attempt in sorted(store.names(f"artifacts/{stage}/{build}")):
                if attempt.isdigit():
                    artifact = published(store, stage, build, attempt)
                    if artifact is not None:
                        found[stage, artifact.manifest.build_id, attempt] = artifact
    read = {
        key: [
            (record.stage, record.build_id, record.attempt)
            for record in artifact.manifest.inputs.values()
        ]
        for key, artifact in found.items()
    }
    return [found[key] for key in TopologicalSorter(read).static_order() if key in found]


def held(store: Store, opt_outs: OptOuts) -> Held:
    """What the home has of the pages that entries name, in whatever attempt."""
    attempts = every_attempt(store)
    with ThreadPoolExecutor(_THREADS) as pool:
        pages, documents = _pages(attempts, opt_outs, pool, _certified(store))
        ids = {page.doc_id for page in pages} | opt_outs.doc_ids
        looked = _Search(ids, pointers(store), pool)
        holders = [holder for one in attempts if (holder := looked.holder(one)) is not None]
    return Held(tuple(pages), tuple(holders), documents)


def _certified(store: Store) -> list[Page]:
    """Pages that were taken out before: what `gc` removed since tells nothing of them any more."""
    found: list[Page] = []
    for name in store.names(CERTIFICATES):
        if name.endswith(".json"):
            pages = (store.read_json(f"{CERTIFICATES}/{name}") or {}).get("pages", [])
            found += [Page(page["doc_id"], page["url"], page["source"]) for page in pages]
    return found


def _pages(
    attempts: Iterable[Artifact],
    opt_outs: OptOuts,
    pool: ThreadPoolExecutor,
    known: Sequence[Page],
) -> tuple[list[Page], int]:
    """Pages of all `source` artifacts that entries name, and how many pages there are.

    Args:
        known: further pages that entries may name.
    """
    parts: dict[str, tuple[Path, int]] = {}  # attempts share most of theirs
    for artifact in attempts:
        for data in (artifact.data(name) for name in artifact.manifest.outputs if name == "pages"):
            for part in data.parts:
                parts.setdefault(part.sha256, (data.path(part), part.rows or 0))

    def of_part(path: Path) -> list[Page]:
        columns = read_part(path, ["doc_id", "url", "source"])
        ids, urls, sources = (columns.column(name).to_pylist() for name in columns.column_names)
        return [Page(ids[at], urls[at], sources[at]) for at, _ in opt_outs.matches(ids, urls)]

    ids, urls = [page.doc_id for page in known], [page.url for page in known]
    found = {ids[at]: known[at] for at, _ in opt_outs.matches(ids, urls)}
    for pages in pool.map(of_part, [path for path, _ in parts.values()]):
        for page in pages:
            found.setdefault(page.doc_id, page)
    ordered = sorted(found.values(), key=lambda page: (page.source, page.url, page.doc_id))
    return ordered, sum(rows for _, rows in parts.values())


def pointers(store: Store) -> dict[tuple[str, str, str], list[str]]:
    """By stage, build and attempt, the pointers that mean it, as "recipe@channel"."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for recipe in store.names("refs"):
        for stage in store.names(f"refs/{recipe}"):
            for file in store.names(f"refs/{recipe}/{stage}"):
                channel = file.removesuffix(".json")
                artifact = channels.resolve(store, recipe, stage, channel)
                if artifact is not None:
                    key = (stage, artifact.manifest.build_id, artifact.manifest.attempt)
                    found.setdefault(key, []).append(f"{recipe}@{channel}")
    return found


class _Search:
    """Looks through attempts, each after those it was made of.

    Args:
        ids: of the pages; those of examples made of them are added.
    """

    def __init__(
        self,
        ids: set[str],
        pointers: Mapping[tuple[str, str, str], Sequence[str]],
        pool: ThreadPoolExecutor,
    ) -> None:
        self._ids, self._pointers, self._pool = ids, pointers, pool
        self._known: dict[str, tuple[int, int]] = {}  # of parts by digest: rows, those to learn
        self._sought: frozenset[str] = frozenset(ids)
        self._teach: set[tuple[str, str, str, str]] = set()

    def holder(self, artifact: Artifact) -> Holder | None:
        """What an attempt has of the pages; `None` for nothing."""
        manifest = artifact.manifest
        key = (manifest.stage, manifest.build_id, manifest.attempt)
        rows: dict[str, int] = {}
        mentions: dict[str, int] = {}
        for name, output in manifest.outputs.items():
            columns = [column.split(":", 1)[0] for column in output.columns or []]
            count, to_learn = self._count(artifact, name, output, columns)
            if not count:
                continue
            says = manifest.stage == _INDEX or bool(_SAY & set(columns))
            (rows if says else mentions)[name] = count
            if to_learn:
                self._teach.add((*key, name))
        learned = artifact.stage not in _ONLY_SHOW and any(
            (record.stage, record.build_id, record.attempt, record.output) in self._teach
            for record in manifest.inputs.values()
        )
        folders = [name for name, output in manifest.outputs.items() if output.columns is None]
        if learned:
            self._teach.update((*key, name) for name in folders)
        if not (rows or mentions or (learned and folders)):
            return None
        in_force = tuple(self._pointers.get(key, ()))
        return Holder(artifact, rows, mentions, bool(learned and folders), in_force)

    def _count(
        self, artifact: Artifact, name: str, output: OutputRecord, columns: Sequence[str]
    ) -> tuple[int, int]:
        """Rows with one of the ids, and how many of these are not held out."""
        keys = [key for key in (_OWN, _MANY, _PARENTS) if key in columns]
        if not keys or not self._ids:
            return 0, 0
        if len(self._sought) != len(self._ids):  # examples came in: other rows count now
            self._sought, self._known = frozenset(self._ids), {}
        wanted = [*keys, *([_SPLIT] if _SPLIT in columns else [])]
        data = artifact.data(name)
        new = [part for part in data.parts if part.sha256 not in self._known]

        def of_part(part: File) -> tuple[int, int, set[str]]:
            return _rows_of(read_part(data.path(part), wanted), keys, self._sought)

        for part, (count, to_learn, children) in zip(
            new, self._pool.map(of_part, new), strict=True
        ):
            self._known[part.sha256] = count, to_learn
            self._ids |= children
        counts = [self._known[part.sha256] for part in data.parts]
        return sum(count for count, _ in counts), sum(to_learn for _, to_learn in counts)


def _rows_of(
    table: pa.Table, keys: Sequence[str], ids: frozenset[str]
) -> tuple[int, int, set[str]]:
    """Rows with one of the ids, those that are not held out, and ids of examples among them."""
    import pyarrow.compute as pc  # not before: see llm/rows.py

    sought = pa.array(sorted(ids), pa.string())
    hits = np.zeros(table.num_rows, np.bool_)
    for key in keys:
        column = table.column(key)
        if pa.types.is_list(column.type):
            column = column.combine_chunks()
            rows = column.value_parent_indices().filter(pc.is_in(column.flatten(), sought))
            hits[rows.to_numpy()] = True
        else:
            hits |= pc.is_in(column, sought).to_numpy()
    of_it = table.filter(pa.array(hits))
    to_learn = of_it.num_rows
    if _SPLIT in table.column_names:
        to_learn -= pc.sum(pc.equal(of_it.column(_SPLIT), VALIDATION)).as_py() or 0
    children = set(of_it.column(_OWN).to_pylist()) if _PARENTS in keys and _OWN in keys else set()
    return of_it.num_rows, to_learn, children
