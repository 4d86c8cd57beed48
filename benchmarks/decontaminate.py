"""How much of copied evaluation items is found, how much of what is found is copied, how fast.

    python -m benchmarks.decontaminate --data DIR [--items 300] [--judged FILE]

DIR has `eval` (GSM8K, ARC-easy, LAMBADA, COPA, BLiMP), `text` and `html_warc`, texts that nobody
copied items into on purpose. Items are put into such texts as they are, and with one edit each:
other case, other punctuation, one word inserted, deleted or replaced, choices in another order.
`recall` is the share of those edited copies that the default settings find, over the items that
are long enough to be looked for (`too short` counts the others); beside it what 13 words in a row
alone find (Brown et al. 2020).

What is found in the texts as they are is either from where the item is from, or chance. FILE says
which, a line of JSON each: {"evaluation_set", "item", "doc_id", "copied": true}; `precision`
is the share that is copied. Without it what was found is printed for someone to judge.

Microseconds a document: processor time of one process for the texts in `text`, search alone.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
from fastwarc.warc import ArchiveIterator, WarcRecordType

from llm.corpus.clean.main_text import extract
from llm.corpus.clean.outcome import Extraction
from llm.corpus.decontaminate.evidence import by_place, common_ngrams, find, is_evidence, sought_of
from llm.corpus.decontaminate.items import EvaluationItem, read_items
from llm.corpus.decontaminate.search import TextIndex
from llm.corpus.decontaminate.sought import Criteria, sought_texts
from tasks.stages.decontaminate import DecontaminateConfig

SETS = {
    "gsm8k": ("gsm8k_test.jsonl.gz", ["question"]),
    "arc_easy": ("arc_easy.jsonl.gz", ["query", "choices"]),
    "lambada": ("lambada_openai.jsonl.gz", ["context"]),
    "copa": ("copa.jsonl.gz", ["query", "choices"]),
    "blimp": ("blimp/*.jsonl.gz", ["sentence_good", "sentence_bad"]),
}
MICROSECONDS, RECALL, PRECISION = 50.0, 0.98, 0.95
_AT_ONCE = 256
_PIECE = 5_000  # characters
_WORD = re.compile(r"\w+")
_REPLACEMENT = "somewhat"
_DEFAULT = DecontaminateConfig()
DEFAULT = Criteria(
    _DEFAULT.ngram, _DEFAULT.shortest_item, _DEFAULT.min_share, _DEFAULT.edited_share
)
PLAIN = Criteria(13, 8, 0.0, 1.0)


def evaluation_items(folder: Path) -> dict[str, list[EvaluationItem]]:
    """The items of every set that is there."""
    found: dict[str, list[EvaluationItem]] = {}
    for name, (pattern, fields) in SETS.items():
        files = sorted(folder.glob(pattern))
        found[name] = [item for file in files for item in read_items(file, file.name, fields)]
    return {name: items for name, items in found.items() if items}


def plain_texts(folder: Path) -> dict[str, str]:
    """Documents of the folder `text` by a name of their own."""
    found: dict[str, str] = {}
    for file in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                found[f"{file.name}:{number}"] = json.loads(line)["text"]
    for file in sorted(folder.glob("wik*.txt.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as stream:
            # Many articles in one file: lines together, of about the length of the other texts.
            piece, number = "", 0
            for line in stream:
                piece += line
                if len(piece) > _PIECE:
                    number += 1
                    found[f"{file.name}:{number}"], piece = piece, ""
    return {name: text for name, text in found.items() if text.strip()}


def pages(folder: Path) -> Iterator[tuple[str, str]]:
    """(address, main text) of the English pages of archives."""
    how = Extraction("auto", 1.4, False, "text")
    for file in sorted(folder.glob("*.warc.gz")):
        if "i18n" in file.name:
            continue
        with file.open("rb") as stream:
            for record in ArchiveIterator(stream, WarcRecordType.response):
                markup = record.reader.read().decode("utf-8", "replace")
                url = record.headers["WARC-Target-URI"]
                yield url, extract(markup, url, how, 1_000_000, 1_000).text


# -- edits -------------------------------------------------------------------------------------

Edit = Callable[[list[str], random.Random], list[str]]


def _on_question(change: Callable[[str, random.Random], str]) -> Edit:
    """An edit of an item's longest text."""

    def edit(texts: list[str], draw: random.Random) -> list[str]:
        longest = max(range(len(texts)), key=lambda place: len(texts[place]))
        return [
            change(text, draw) if place == longest else text for place, text in enumerate(texts)
        ]

    return edit


def _one_word(make: Callable[[str], str]) -> Edit:
    def change(text: str, draw: random.Random) -> str:
        places = list(_WORD.finditer(text))
        chosen = places[draw.randrange(len(places))]
        return text[: chosen.start()] + make(chosen[0]) + text[chosen.end() :]

    return _on_question(change)


def _reorder(texts: list[str], draw: random.Random) -> list[str]:
    choices = texts[1:]
    draw.shuffle(choices)
    return [texts[0], *choices]


EDITS: Mapping[str, Edit] = {
    "none": lambda texts, _: texts,
    "case": lambda texts, _: [text.upper() for text in texts],
    "punctuation": lambda texts, _: [
        re.sub(r"[^\w\s]", "", text).replace(" ", ", ") for text in texts
    ],
    "inserted": _one_word(lambda word: f"{word} {_REPLACEMENT}"),
    "deleted": _one_word(lambda word: ""),
    "replaced": _one_word(lambda word: _REPLACEMENT),
    "reordered": _reorder,
}


def copied_into(carrier: str, texts: Sequence[str]) -> str:
    """A document in the middle of which an item stands, choices with letters before them."""
    middle = len(carrier) // 2
    lines = [texts[0], *(f"{chr(65 + n)}) {text}" for n, text in enumerate(texts[1:]))]
    return f"{carrier[:middle]}\n\n{chr(10).join(lines)}\n\n{carrier[middle:]}"


@dataclass
class Recall:
    """Copies that were made and those that were found, by set and edit."""

    made: Counter[tuple[str, str]]
    found: Counter[tuple[str, str]]


def recall(
    items: Mapping[str, Sequence[EvaluationItem]],
    carriers: Sequence[str],
    criteria: Criteria,
    most: int,
) -> tuple[Recall, dict[str, Any]]:
    """What is found of items copied into carriers, and of each set how many can be looked for."""
    counts = Recall(Counter(), Counter())
    coverage = {}
    for name, own in items.items():
        table, counted = sought_texts(name, own, criteria)
        coverage[name] = vars(counted)
        index = TextIndex(table)
        # A text that several items have is attributed to the first.
        texts = {text.words: text.item for text in index.texts}
        draw = random.Random(len(own))
        sought = {text.item for text in index.texts}
        drawn = [item for item in own if item.name in sought]
        drawn = draw.sample(drawn, min(most, len(drawn)))
        for kind, edit in EDITS.items():
            if kind == "reordered" and max(len(item.texts) for item in drawn) < 3:
                continue
            documents = [
                copied_into(draw.choice(carriers), edit(list(item.texts), draw)) for item in drawn
            ]
            for start in range(0, len(documents), _AT_ONCE):
                results = index.find(documents[start : start + _AT_ONCE])
                for item, found in zip(drawn[start:], results, strict=False):
                    counts.made[name, kind] += 1
                    counts.found[name, kind] += any(
                        texts[o.sought.words] == item.name for o in found
                    )
    return counts, coverage


def speed(index: TextIndex, documents: Sequence[str], tries: int) -> float:
    """Microseconds of processor time a document, the best of some tries."""
    index.find(documents[:_AT_ONCE])
    best = float("inf")
    for _ in range(tries):
        begin = time.process_time()
        for start in range(0, len(documents), _AT_ONCE):
            index.find(documents[start : start + _AT_ONCE])
        best = min(best, time.process_time() - begin)
    return 1e6 * best / len(documents)


def hits(
    sought: pa.Table, documents: Mapping[str, str], criteria: Criteria
) -> tuple[list[dict[str, Any]], int]:
    """What of the sets stands in texts as they are and is evidence; and what is too common."""
    index = TextIndex(sought)
    rows = []
    names = list(documents)
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        table = pa.table({"doc_id": some, "text": [documents[name] for name in some]})
        rows += find(table, index).to_pylist()
    texts = by_place(index.texts)
    common: frozenset[str] = frozenset()
    if criteria is DEFAULT:
        dropped = common_ngrams(rows, texts, _DEFAULT.common_documents)
        common = frozenset(dropped.column("ngram").to_pylist())
    kept = [
        row
        for row in rows
        if is_evidence(sought_of(row, texts), row["share"], row["ngrams"], common)
    ]
    for row in kept:
        row["text"] = " ".join(sought_of(row, texts).words)
    return kept, len(rows) - len(kept)


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["evaluation_set"], row["item"], row["doc_id"]


def judgements(file: Path | None) -> dict[tuple[str, str, str], bool]:
    """What a person said of hits."""
    if file is None:
        return {}
    with file.open(encoding="utf-8") as lines:
        return {_key(row): row["copied"] for row in map(json.loads, lines)}


def main() -> None:
    """Measure, print the tables, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--judged", type=Path)
    args = parser.parse_args()
    items = evaluation_items(args.data / "eval")
    documents = plain_texts(args.data / "text")
    texts = list(documents.values())
    rows: list[dict[str, Any]] = []
    shares: dict[str, float] = {}
    coverage: dict[str, Any] = {}
    for name, criteria in (("13 words in a row", PLAIN), ("default", DEFAULT)):
        carriers = [text for text in texts if 1_000 < len(text) < 6_000]
        counts, coverage = recall(items, carriers, criteria, args.items)
        for (own, kind), made in sorted(counts.made.items()):
            share = counts.found[own, kind] / made
            rows.append({"name": name, "set": own, "edit": kind, "copies": made, "recall": share})
        edited = [key for key in counts.made if key[1] != "none"]
        shares[name] = sum(counts.found[k] for k in edited) / sum(counts.made[k] for k in edited)
    _print_recall(rows)
    sought = {
        name: pa.concat_tables(
            [sought_texts(own, listed, criteria)[0] for own, listed in items.items()]
        )
        for name, criteria in (("13 words in a row", PLAIN), ("default", DEFAULT))
    }
    index = TextIndex(sought["default"])
    microseconds = speed(index, texts, args.tries)
    size = sum(len(text.encode()) for text in texts) / len(texts)
    documents |= dict(pages(args.data / "html_warc"))
    judged = judgements(args.judged)
    precision: dict[str, float | None] = {}
    for name, criteria in (("13 words in a row", PLAIN), ("default", DEFAULT)):
        found, common = hits(sought[name], documents, criteria)
        known = [judged[_key(row)] for row in found if _key(row) in judged]
        precision[name] = sum(known) / len(known) if known else None
        told = {"hits": len(found), "common": common, "judged": len(known)}
        rows.append({"name": name, "clean documents": len(documents), **told})
        print(f"{name}: {told} precision {precision[name]}")
        for row in found:
            if _key(row) not in judged:
                print(json.dumps({k: row[k] for k in _SHOWN}, ensure_ascii=False))
    bars = [
        _bar("microseconds_per_document", microseconds, MICROSECONDS, above=False),
        _bar("recall", shares["default"], RECALL, above=True),
        _bar("precision", precision["default"], PRECISION, above=True),
    ]
    data = {
        "documents": len(texts),
        "bytes_a_document": size,
        "texts_looked_for": len(index.texts),
        "sets": coverage,
    }
    line = {"benchmark": "decontaminate", "input": data, "versions": {"numpy": version("numpy")}}
    print(json.dumps({**line, "rows": rows, "bars": bars}))


_SHOWN = ("evaluation_set", "item", "doc_id", "rule", "share", "text", "found")


def _bar(name: str, value: float | None, target: float, above: bool) -> dict[str, Any]:
    holds = value is not None and (value >= target if above else value <= target)
    return {"name": name, "value": value, "target": target, "holds": holds}


def _print_recall(rows: Sequence[Mapping[str, Any]]) -> None:
    kinds = list(EDITS)
    print(f"{'':20}{'':10}" + "".join(f"{kind:>12}" for kind in kinds))
    for name, own in dict.fromkeys((row["name"], row["set"]) for row in rows):
        cells = {r["edit"]: r["recall"] for r in rows if (r["name"], r["set"]) == (name, own)}
        told = "".join(f"{cells[k]:12.3f}" if k in cells else f"{'':12}" for k in kinds)
        print(f"{name:20}{own:10}{told}")


if __name__ == "__main__":
    main()
