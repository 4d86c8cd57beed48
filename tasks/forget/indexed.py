"""Texts that share nothing with removed ones, known from the suffix arrays of an index."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from llm.corpus.attribution.spans import Index, documents_sharing
from llm.corpus.attribution.tables import TRAINED
from tasks.engine.store.artifact import Artifact
from tasks.forget.texts import Texts

# A byte more that is taken out costs more look-ups, a byte more that is searched hardly any. From
# here on it is faster to read all texts once.
_MOST_BYTES = 2_000_000
_FILES = "index"


class IndexedTexts:
    """Documents of an index, and which of them may have words of removed texts.

    What is in force may be another text than what was indexed, so each is compared, byte by byte:
    of an index that is out of date the equal documents still count.

    Args:
        index: an artifact of the stage `index`; its files are read and hashed.
        window: bytes of a run that counts.

    Raises:
        DamagedArtifactError, BadBlockError: a file is not what was published.
    """

    def __init__(self, index: Artifact, removed: Collection[bytes], window: int) -> None:
        self._blocks = Index(index.data(_FILES).folder() / TRAINED)
        self._table = index.data(TRAINED)
        self._parts = {part.path: part for part in self._table.parts}
        self._near: dict[str, set[int]] = {}
        for text in removed:
            for part, number in documents_sharing(text, self._blocks, window):
                self._near.setdefault(part, set()).add(number)

    def without_runs(self, texts: Texts) -> NDArray[np.bool_]:
        """bool (rows,): which of them are in the index as they are, and share no run."""
        found = np.zeros(len(texts.texts), np.bool_)
        part = self._parts.get(texts.part)
        if part is None:
            return found
        ids = self._table.part_table(part, ["doc_id"]).column("doc_id").to_pylist()
        place = {doc_id: row for row, doc_id in enumerate(texts.doc_ids.to_pylist())}
        stem = texts.part.removesuffix(".parquet")
        near = self._near.get(stem, set())
        indexed = zip(ids, self._blocks.texts(stem), strict=True)
        for number, (doc_id, text) in enumerate(indexed):
            row = place.get(doc_id)
            if row is not None and number not in near:
                known = texts.texts[row].as_py()
                found[row] = known is not None and known.encode() == text
        return found


def indexed_texts(
    index: Artifact | None, removed: Collection[bytes], window: int
) -> IndexedTexts | None:
    """The index as a proof; none where there is no index, or reading all texts is faster."""
    if index is None or not index.data(TRAINED).rows:
        return None
    if sum(map(len, removed)) > _MOST_BYTES:
        return None
    return IndexedTexts(index, removed, window)
