"""The certificate of a removal: what was taken out, what was rebuilt, what is proved, what is not.

It names pages by doc_id, URL and the digest of their text; the text itself is nowhere in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from llm.corpus.forget.opt_outs import Entry, OptOuts, spelled
from llm.corpus.forget.shared_spans import RemovedTexts, Shared
from llm.rows import bytes_of
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.forget.holders import CERTIFICATES, Held, Holder, held
from tasks.forget.indexed import IndexedTexts, indexed_texts
from tasks.forget.texts import DOCUMENTS, Texts, cleaned, trained_on
from tasks.panels.numbers import counted

WINDOW = 50  # bytes of a run that counts as the page's own words
NEAR = 0.5  # of a document's bytes: from here on it is mostly the page's words
MARK = "forgotten.json"
_INDEX, _ARTIFACTS = "index", "artifacts/"
_EXCERPT = 160


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class RemovedPage(_Record):
    """A page that was taken out; without a text it never became a document."""

    doc_id: str
    url: str
    source: str
    text_sha256: str | None
    text_bytes: int


class Rebuilt(_Record):
    """A stage after the removal."""

    stage: str
    build_id: str
    attempt: str
    data_ids: dict[str, str]
    rows_removed: int
    shards_built: int
    shards_adopted: int


class StillShared(_Record):
    """A text in force that has words of a removed page.

    Attributes:
        share: of its bytes.
        near_duplicate: it is mostly these words.
    """

    stage: str
    output: str
    doc_id: str
    url: str | None
    longest_bytes: int
    shared_bytes: int
    share: float
    near_duplicate: bool
    excerpt: str


class StillHeld(_Record):
    """An attempt that still has a page, or was made of one.

    Attributes:
        what: rows by output, or "learned from it".
        in_force: pointers that mean it, as "recipe@channel".
        model: it is a language model.
    """

    artifact: str
    what: str
    in_force: list[str]
    model: bool


class Certificate(_Record):
    """What a removal came to.

    Attributes:
        searched_bytes: of texts that are trained on.
        searched_by: the artifact of `index` whose suffix arrays were asked first; none where all
            texts were read through.
        by_suffix_arrays: texts of which these say that they share nothing.
        ids_in_force: rows in force, of whatever output with text or tokens, that have a page.
        beyond: what no rebuild reaches, for people.
    """

    name: str
    issued: str
    recipe: str
    asked: list[str]
    pages: list[RemovedPage]
    rebuilt: list[Rebuilt]
    window_bytes: int
    removed_bytes: int
    searched_texts: int
    searched_bytes: int
    searched_by: str | None
    by_suffix_arrays: int
    ids_in_force: int
    shared: list[StillShared]
    still_held: list[StillHeld]
    beyond: list[str]

    @property
    def holds(self) -> bool:
        """Whether nothing that is trained on from now on has the pages or words of theirs."""
        return not self.shared and not self.ids_in_force

    @property
    def models(self) -> list[StillHeld]:
        """Language models that learned from a page."""
        return [each for each in self.still_held if each.model]


@dataclass(frozen=True)
class Search:
    """What was found of removed texts in others.

    Attributes:
        found: texts that have words of them, each with where it stands and its URL.
        texts, bytes: that were looked through.
        by_index: texts among them that an index told of.
    """

    found: Sequence[tuple[Texts, Shared, str | None]]
    texts: int
    bytes: int
    by_index: int


def shared_texts(
    removed: Collection[bytes],
    texts: Iterable[Texts],
    without: Collection[str] = (),
    indexed: IndexedTexts | None = None,
) -> Search:
    """Look for words of removed texts in others.

    Args:
        without: doc_ids that are not looked at.
        indexed: which of the documents need not be read through.
    """
    sought = RemovedTexts(removed, WINDOW)
    found: list[tuple[Texts, Shared, str | None]] = []
    count = size = by_index = 0
    for each in texts:
        size += sum(bytes_of(each.texts).to_pylist())
        count += len(each.texts)
        ids, column = each.doc_ids, each.texts
        if indexed is not None and each.output == DOCUMENTS:
            read = ~indexed.without_runs(each)
            by_index += len(read) - int(read.sum())
            ids, column = ids.filter(pa.array(read)), column.filter(pa.array(read))
        urls = dict(zip(each.doc_ids.to_pylist(), each.urls, strict=True))
        found += [
            (each, shared, urls[shared.doc_id])
            for shared in sought.shared_with(ids, column)
            if shared.doc_id not in without
        ]
    return Search(found, count, size, by_index)


def near_duplicates(
    artifacts: Mapping[str, Artifact], removed: Mapping[str, str]
) -> list[tuple[str, str | None, float]]:
    """Documents that are mostly words of the removed texts: doc_id, URL, share of their bytes.

    All documents are looked at: one that deduplication left out for a removed page comes back when
    that page goes.
    """
    texts = [text.encode() for text in removed.values()]
    found = shared_texts(texts, cleaned(artifacts), without=removed).found
    return [(shared.doc_id, url, shared.share) for _, shared, url in found if shared.share >= NEAR]


def certify(
    store: Store,
    recipe: str,
    entries: Sequence[Entry],
    before: Held,
    removed: Mapping[str, str],
    artifacts: Mapping[str, Artifact],
    rebuilt: Iterable[Artifact],
    moment: datetime,
) -> Certificate:
    """Look at what is in force now.

    Args:
        before: what the home had of the pages before the rebuild.
        removed: their texts by doc_id.
        artifacts: of the recipe, in force now, by stage.
        rebuilt: artifacts of the rebuild.
    """
    texts = [text.encode() for text in removed.values()]
    indexed = indexed_texts(artifacts.get(_INDEX), texts, WINDOW)
    search = shared_texts(texts, trained_on(artifacts), indexed=indexed)
    shared = [
        StillShared(
            stage=each.stage,
            output=each.output,
            doc_id=one.doc_id,
            url=url,
            longest_bytes=one.longest,
            shared_bytes=one.shared_bytes,
            share=round(one.share, 4),
            near_duplicate=one.share >= NEAR,
            excerpt=one.excerpt[:_EXCERPT],
        )
        for each, one, url in sorted(search.found, key=lambda each: -each[1].longest)
    ]
    after = held(
        store, OptOuts([*entries, *(Entry("doc_id", page.doc_id) for page in before.pages)])
    )
    rebuilt = list(rebuilt)
    fresh = {artifact.folder for artifact in rebuilt}
    pages = [
        RemovedPage(
            doc_id=page.doc_id,
            url=page.url,
            source=page.source,
            text_sha256=_sha256(removed[page.doc_id]) if page.doc_id in removed else None,
            text_bytes=len(removed.get(page.doc_id, "").encode()),
        )
        for page in before.pages
    ]
    digest = _sha256(json.dumps([[page.doc_id for page in pages], moment.isoformat()]))
    return Certificate(
        name=f"{moment:%Y%m%d-%H%M%S}-{digest[:8]}",
        issued=moment.isoformat(timespec="seconds"),
        recipe=recipe,
        asked=[spelled(entry) for entry in entries],
        pages=pages,
        rebuilt=[_rebuilt(artifact) for artifact in rebuilt],
        window_bytes=WINDOW,
        removed_bytes=sum(page.text_bytes for page in pages),
        searched_texts=search.texts,
        searched_bytes=search.bytes,
        searched_by=None if indexed is None else artifacts[_INDEX].folder.removeprefix(_ARTIFACTS),
        by_suffix_arrays=search.by_index,
        ids_in_force=sum(
            sum(holder.rows.values()) for holder in after.holders if holder.artifact.folder in fresh
        ),
        shared=shared,
        still_held=[_still(holder) for holder in after.holders if holder.rows or holder.learned],
        beyond=_beyond(before, artifacts),
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _rebuilt(artifact: Artifact) -> Rebuilt:
    manifest = artifact.manifest
    return Rebuilt(
        stage=manifest.stage,
        build_id=manifest.build_id,
        attempt=manifest.attempt,
        data_ids={name: output.data_id for name, output in manifest.outputs.items()},
        rows_removed=sum(manifest.totals.removed.values()),
        shards_built=manifest.timings.shards_built,
        shards_adopted=manifest.timings.shards_adopted,
    )


def _still(holder: Holder) -> StillHeld:
    rows = ", ".join(f"{counted(count, 'row')} of {name}" for name, count in holder.rows.items())
    learned = "learned from it" if holder.learned else ""
    return StillHeld(
        artifact=holder.name,
        what="; ".join(each for each in (learned, rows) if each),
        in_force=list(holder.in_force),
        model=holder.is_model,
    )


def _beyond(before: Held, artifacts: Mapping[str, Artifact]) -> list[str]:
    """Where the pages came from: Ingot leaves what is not its own as it is."""
    sources = sorted({page.source for page in before.pages})
    told = [
        f"the files of the source {name}, which Ingot reads and never changes" for name in sources
    ]
    if "fetch" in artifacts:
        told.append(
            "files that `fetch` keeps as they were fetched, and its last crawl of each site"
        )
    return told


def keep(store: Store, certificate: Certificate, text: str) -> str:
    """Write a certificate and its words to the home, and mark what still holds the pages; returns
    where it lies."""
    path = f"{CERTIFICATES}/{certificate.name}"
    written = certificate.model_dump_json(indent=1).encode()
    store.create(f"{path}.json", written)
    store.create(f"{path}.md", text.encode())
    for each in certificate.still_held:
        mark = f"artifacts/{each.artifact}/{MARK}"
        known: list[str] = store.read_json(mark) or []
        store.replace(mark, json.dumps([*known, certificate.name]).encode())
    return store.full(f"{path}.json")


def marks(artifact: Artifact) -> list[str]:
    """Certificates of pages that an artifact still holds, or learned from."""
    known: Any = artifact.store.read_json(f"{artifact.folder}/{MARK}")
    return [str(name) for name in known or []]
