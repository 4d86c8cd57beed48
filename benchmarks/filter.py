"""Heuristic filters: Ingot's metrics and rules, and datatrove's, on the same texts, on one core.

    python -m benchmarks.filter --data DIR [--documents 300] [--tries 2]

`--data` has English texts: `quality/*.jsonl.gz` and `text/*.jsonl.gz`, rows with a field `text`;
the first so many of each file are taken. Both sides hold them in memory. Ingot counts, divides and
judges by the rules of the preset web-en that look at the text; datatrove, in an environment of its
own (made when it is not there), runs the filters these come from (Gopher's repetition and quality,
FineWeb's lines) with the same bounds, one after the other until one fails. Processor time of one
process; tries in turn, the best counts.

Then every rule is decided by itself, and the decisions are compared. datatrove cuts words as spaCy
does, commas and full stops apart; so they are compared once more with its words cut at white space,
as Ingot's are: what then still differs is up to other definitions, which `EXPLAINED` has in words.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import tempfile
import time
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.peer_environments import python_with
from llm.corpus.filter.groups import NO_GROUP
from llm.corpus.filter.rules import KEPT, Rule, judge
from llm.corpus.text_metrics.languages import full_stops, lists_of, stop_words, word_lengths
from llm.corpus.text_metrics.metrics import HEURISTICS, REPETITION, metrics
from llm.corpus.text_metrics.text_counts import text_counts
from tasks.stages.filter_presets import PRESETS
from tasks.stages.filter_rules import plain_rules

SPEED = 10.0
REQUIREMENTS = ("datatrove==0.10.1", "spacy==3.8.18", "nltk==3.10.4", "ftfy==6.3.1")
PEER = Path(__file__).with_name("filter_peer.py")
# Why decisions on the same words may differ.
EXPLAINED = {
    "word_count": "datatrove leaves out words of punctuation alone",
    "mean_word_length": "datatrove leaves out words of punctuation alone",
    "symbol_word_ratio": "the same",
    "bullet_line_fraction": "other bullets (• and - alone), empty lines counted, no blank needed",
    "ellipsis_line_fraction": "empty lines are lines to datatrove",
    "alphabetic_word_fraction": "the same, but for numbers that are no decimal digits",
    "stop_word_count": "datatrove asks for the word as it stands: no capital, no comma behind it",
    "duplicate_line_fraction": "datatrove compares lines with the blanks around them",
    "duplicate_line_char_fraction": "datatrove divides by the whole text",
    "duplicate_paragraph_fraction": "datatrove needs two newlines with nothing between them",
    "duplicate_paragraph_char_fraction": "datatrove divides by the whole text",
    **{f"top_{n}gram_char_fraction": "datatrove counts blanks, an n-gram that occurs once, "
       "and overlaps twice; it divides by the whole text" for n in (2, 3, 4)},
    **{f"duplicate_{n}gram_char_fraction": "datatrove does not count the first occurrence, and "
       "divides by the whole text" for n in (5, 6, 7, 8, 9, 10)},
    "terminal_punctuation_fraction": "other marks; datatrove leaves blanks at the end of a line",
    "short_line_fraction": "datatrove counts blanks around a line",
    "newline_word_ratio": "the same",
}  # fmt: skip


def texts_of(data: Path, documents: int) -> list[str]:
    """The texts, in the order of the files' names."""
    found = []
    for path in sorted([*data.glob("quality/*.jsonl.gz"), *data.glob("text/*.jsonl.gz")]):
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
            found += [json.loads(line)["text"] for line in islice(stream, documents)]
    return [text for text in found if text.strip()]


def rules() -> list[Rule]:
    """Those of web-en that look at the text itself."""
    own = {*HEURISTICS, *REPETITION}
    return [rule for rule in plain_rules(PRESETS["web-en"]) if rule.column in own]


def table_of(texts: pa.Array) -> pa.Table:
    """Metrics of English texts."""
    english = ["en"] * len(texts)
    counts = text_counts(texts, stop_words(), lists_of(english))
    columns = metrics(counts, word_lengths(english), full_stops(english))
    return pa.table({"doc_id": pa.array(map(str, range(len(texts)))), **columns})


def ours(texts: pa.Array) -> tuple[float, list[bool], dict[str, list[bool]]]:
    """Seconds; which texts are kept; of each rule by itself which texts it removes."""
    started = time.process_time()
    table = table_of(texts)
    everything = np.full(len(texts), NO_GROUP)
    verdict = judge(table, rules(), {}, everything)
    seconds = time.process_time() - started
    alone = {
        rule.name: (judge(table, [rule], {}, everything).first != KEPT).tolist() for rule in rules()
    }
    marks = zip(alone.pop("hash_word_ratio"), alone.pop("ellipsis_word_ratio"), strict=True)
    alone["symbol_word_ratio"] = [one or other for one, other in marks]
    return seconds, (verdict.first == KEPT).tolist(), alone


def theirs(texts: list[str], words: str) -> dict[str, Any]:
    """What `filter_peer.py` measures in the peer's environment."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.json"
        path.write_text(json.dumps(texts), encoding="utf-8")
        command = [str(python_with("datatrove", REQUIREMENTS)), str(PEER), str(path), words]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure, print the tables, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--tries", type=int, default=2)
    args = parser.parse_args()
    texts = texts_of(args.data, args.documents)
    array = pa.array(texts, pa.string())
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    table_of(array[:1])  # compiles
    own, spacy, spaces = [], [], []
    for _ in range(args.tries):
        own.append(ours(array))
        spacy.append(theirs(texts, "spacy"))
        spaces.append(theirs(texts, "spaces"))
    kept, alone = own[0][1:]
    seconds = {
        "ingot": min(run[0] for run in own),
        "datatrove": min(run["seconds"] for run in spacy),
        "datatrove, words cut at white space": min(run["seconds"] for run in spaces),
    }
    whole = {"ingot": kept, "datatrove": spacy[0]["kept"]}
    whole["datatrove, words cut at white space"] = spaces[0]["kept"]
    rows: list[dict[str, Any]] = []
    print(f"{len(texts)} texts, {megabytes:.1f} MB\n{'':38}{'MB/s':>9}{'texts/s':>10}{'kept':>8}")
    for name, taken in seconds.items():
        row = {"name": name, "mb_per_second": megabytes / taken, "kept": sum(whole[name])}
        rows.append({**row, "texts_per_second": len(texts) / taken})
        print(f"{name:38}{megabytes / taken:9.2f}{len(texts) / taken:10.0f}{sum(whole[name]):8}")
    print(f"\n{'removed by each rule alone':36}{'ingot':>7}{'spaCy':>7}{'differ':>7}"
          f"{'spaces':>7}{'differ':>7}")  # fmt: skip
    for name, decided in alone.items():
        others = (spacy[0]["alone"][name], spaces[0]["alone"][name])
        differ = [sum(a != b for a, b in zip(decided, other, strict=True)) for other in others]
        rows.append(
            {
                "name": name,
                "removed": sum(decided),
                "removed_by_datatrove": sum(others[0]),
                "differ": differ[0],
                "removed_by_datatrove_same_words": sum(others[1]),
                "differ_same_words": differ[1],
                "why": EXPLAINED[name],
            }
        )
        print(f"{name:36}{sum(decided):7}{sum(others[0]):7}{differ[0]:7}{sum(others[1]):7}"
              f"{differ[1]:7}  {EXPLAINED[name]}")  # fmt: skip
    speed = seconds["datatrove"] / seconds["ingot"]
    same = seconds["datatrove, words cut at white space"] / seconds["ingot"]
    print(f"\n{speed:.0f} times datatrove's speed, {same:.0f} times with words cut at white space")
    bar = {"name": "heuristics_speed_vs_datatrove", "value": speed, "target": SPEED}
    print(
        json.dumps(
            {
                "benchmark": "filter",
                "input": {"texts": len(texts), "megabytes": megabytes},
                "versions": {**spacy[0]["versions"], "numpy": version("numpy")},
                "rows": rows,
                "bars": [{**bar, "holds": speed >= SPEED}],
            }
        )
    )


if __name__ == "__main__":
    main()
