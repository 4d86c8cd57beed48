"""Which training texts a text stands in, word for word, and which that were left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from llm.corpus.attribution.spans import Index, Ints, Place, covered, token_spans
from llm.corpus.attribution.tables import LEFT_OUT, TRAINING_SETS

# Gives the bounds of a text's tokens, see `token_bounds`.
Bounds = Callable[[bytes], Ints]

SHORT, COMMON = "short", "common"
# So many places of a span are looked at for documents that differ.
_PLACES_A_DOCUMENT = 8
_PARTS_KEPT = 256


@dataclass(frozen=True)
class Rule:
    """Which spans say something.

    Attributes:
        min_tokens: shorter ones stand in many texts that have nothing to do with each other.
        most_places: what stands at more of them is a formula, and no one's text.
        documents: that are named for each span.
        around: bytes of a passage before and behind the span.
    """

    min_tokens: int
    most_places: int
    documents: int
    around: int


@dataclass(frozen=True)
class Source:
    """A text in which a span stands.

    Attributes:
        kind: the set it is of, see `tables`.
        row: what the set's table knows of it: doc_id, url, and so on.
        before, found, after: the passage.
        places: of the span in the text, as far as they were looked at.
    """

    kind: str
    row: Mapping[str, Any]
    before: str
    found: str
    after: str
    places: int


@dataclass(frozen=True)
class SourcedSpan:
    """A part of the text that stands word for word in others.

    Attributes:
        start, end: characters of the text.
        tokens: its length.
        count: places at which it stands, of all sets asked.
        bytes_per_place: bytes of text searched for each place: how rare it is.
        sources: the first few.
    """

    start: int
    end: int
    text: str
    tokens: int
    count: int
    bytes_per_place: int
    sources: Sequence[Source]


@dataclass(frozen=True)
class Attribution:
    """Where a text comes from.

    Attributes:
        spans: that stand in texts trained on.
        left_out: that stand in texts left out and in none of `spans`.
        covered: share of the text's characters in `spans`, by UTF-8 bytes.
        suppressed: how many spans were left out for which reason, and by what rule.
        searched: bytes of text by set.
    """

    spans: Sequence[SourcedSpan]
    left_out: Sequence[SourcedSpan]
    covered: float
    suppressed: Sequence[Mapping[str, Any]]
    searched: Mapping[str, int]

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


class TextSet:
    """The blocks of one set and the table of its texts."""

    def __init__(self, kind: str, blocks: Path, table: Path) -> None:
        self.kind = kind
        self.index = Index(blocks)
        self._table = table
        self._rows = lru_cache(maxsize=_PARTS_KEPT)(self._read)

    def row(self, place: Place) -> dict[str, Any]:
        """What is known of the text at a place."""
        found: dict[str, Any] = (
            self._rows(place.part).slice(place.passage.document, 1).to_pylist()[0]
        )
        return found

    def _read(self, part: str) -> Any:
        # By this thread: a part is small, and on a busy machine others of a pool come late.
        with pq.ParquetFile(self._table / f"{part}.parquet") as file:
            return file.read(use_threads=False)


class Sources:
    """All sets of an index.

    Args:
        blocks: folder with one of blocks for each set.
        tables: folder with the parts of its table, by set.
        bounds: of the tokens of a text.

    Raises:
        BadBlockError: a block is damaged.
    """

    def __init__(self, blocks: Path, tables: Mapping[str, Path], bounds: Bounds) -> None:
        made = [TextSet(kind, blocks / kind, table) for kind, table in tables.items()]
        self._bounds = bounds
        self._training = [one for one in made if one.kind in TRAINING_SETS]
        self._left_out = [one for one in made if one.kind == LEFT_OUT]

    def attribute(self, text: str, rule: Rule) -> Attribution:
        """Every longest span of whole tokens that stands in the sets."""
        data = text.encode("utf-8", "surrogatepass")
        edges = self._bounds(data)
        suppressed = {SHORT: 0, COMMON: 0}
        spans = list(_spans(self._training, data, edges, rule, suppressed))
        within = [span for span, _ in spans]
        left_out = [
            made
            for span, made in _spans(self._left_out, data, edges, rule, {SHORT: 0, COMMON: 0})
            if not any(start <= span[0] and span[1] <= end for start, end in within)
        ]
        rules = {
            SHORT: f"fewer than {rule.min_tokens} tokens",
            COMMON: f"at more than {rule.most_places} places",
        }
        return Attribution(
            [made for _, made in spans],
            left_out,
            covered(within) / len(data) if data else 0.0,
            [
                {"reason": reason, "rule": rules[reason], "spans": count}
                for reason, count in suppressed.items()
                if count
            ],
            {one.kind: one.index.size for one in (*self._training, *self._left_out)},
        )


def _spans(
    sets: Sequence[TextSet], data: bytes, edges: Ints, rule: Rule, suppressed: dict[str, int]
) -> Iterator[tuple[tuple[int, int], SourcedSpan]]:
    """Spans that the rule lets through, with their bytes; counts the others."""
    size = sum(one.index.size for one in sets)
    for first, last, tokens in token_spans([one.index for one in sets], data, edges):
        if tokens < rule.min_tokens:
            suppressed[SHORT] += 1
            continue
        pattern = data[first:last]
        count = sum(one.index.count(pattern) for one in sets)
        if count > rule.most_places:
            suppressed[COMMON] += 1
            continue
        start, text = _text(data[:first]), _text(pattern)
        yield (
            (first, last),
            SourcedSpan(
                len(start),
                len(start) + len(text),
                text,
                tokens,
                count,
                size // count,
                list(_sources(sets, pattern, rule)),
            ),
        )


def _sources(sets: Sequence[TextSet], pattern: bytes, rule: Rule) -> Iterator[Source]:
    left = rule.documents
    for one in sets:
        if not left:
            return
        found: dict[tuple[str, int], list[Place]] = {}
        for place in one.index.places(pattern, left * _PLACES_A_DOCUMENT, rule.around):
            found.setdefault((place.part, place.passage.document), []).append(place)
        for places in list(found.values())[:left]:
            left -= 1
            passage = places[0].passage
            yield Source(
                one.kind,
                one.row(places[0]),
                passage.before,
                passage.found,
                passage.after,
                len(places),
            )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
