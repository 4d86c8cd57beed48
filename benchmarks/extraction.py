"""Main text of real pages: the default engine, each engine alone, and trafilatura, on one core.

    python -m benchmarks.extraction --data DIR [--structure DIR] [--tries 2]

`--data` is laid out as article-extraction-benchmark (Zyte, 2020) is: `ground-truth.json` with the
text of each page written out by hand, and `html/*.html.gz`. Its own measure is F1 over shingles of
four words, every page with the same weight; beside it the mean F1 over words. Of the default also
the F1 on either half of the pages. Pages a second are those of one process on decoded pages, in
processor time; tries are made in turn, the best counts.

`--structure` (by default `html_warc` beside DIR) has archives of documentation. Of every heading,
listing, item of a list and row of a table in their pages it counts whether the Markdown has it,
marked as what it is: a heading with its level, a listing line by line in a fence.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lxml.html
import trafilatura
from fastwarc.warc import ArchiveIterator, WarcRecordType

from llm.corpus.clean.main_text import extract
from llm.corpus.clean.normalise import normalise
from llm.corpus.clean.outcome import Extraction

Engine = Callable[[str, str | None], str]

_WORD = re.compile(r"\w+")
_SHINGLE = 4
_NODES, _DEPTH = 1_000_000, 1_000
SPEED, STRUCTURE = 4.0, 0.97
# Of the archives, and what in their pages is the content: all of MDN's, whose chrome is gone.
ARCHIVES = {"rustbook-00.warc.gz": "//main", "mdn-00.warc.gz": "//body"}


def own(engine: str, form: str = "text") -> Engine:
    """An engine of Ingot, its text normalised as the stage does it."""
    how = Extraction(engine, 1.4, False, form)

    def run(markup: str, url: str | None) -> str:
        made = extract(markup, url, how, _NODES, _DEPTH)
        return normalise(made.text, blank_lines=made.engine == "blocks")

    return run


def theirs(fast: bool) -> Engine:
    """trafilatura alone, comments left out as ours are."""
    return lambda markup, _: trafilatura.extract(markup, fast=fast, include_comments=False) or ""


ENGINES: dict[str, Engine] = {
    "ingot auto": own("auto"),
    "ingot resiliparse": own("resiliparse"),
    "ingot trafilatura": own("trafilatura"),
    "ingot both": own("both"),
    "trafilatura": theirs(fast=False),
    "trafilatura fast": theirs(fast=True),
}
DEFAULT, PEER = "ingot auto", "trafilatura"
SINGLE = ("ingot resiliparse", "ingot trafilatura", "trafilatura", "trafilatura fast")


def shingle_counts(text: str, wanted: str) -> tuple[float, float, float]:
    """Shares of true and false positives and of false negatives; they add up to 1, or to 0 where
    neither text has a word."""
    found, true = (_shingles(_WORD.findall(one)) for one in (text, wanted))
    common = (found & true).total()
    counts = (common, found.total() - common, true.total() - common)
    whole = sum(counts)
    return tuple(count / whole for count in counts) if whole else (0.0, 0.0, 0.0)  # type: ignore[return-value]


def _shingles(words: list[str]) -> Counter[tuple[str, ...]]:
    if len(words) < _SHINGLE:
        return Counter([tuple(words)]) if words else Counter()
    return Counter(zip(*(words[start:] for start in range(_SHINGLE)), strict=False))


def f1(counts: Iterable[tuple[float, float, float]]) -> dict[str, float]:
    """F1, precision and recall of pages together."""
    hits, extra, missed = map(sum, zip(*counts, (0.0, 0.0, 0.0), strict=True))
    precision, recall = hits / max(hits + extra, 1e-12), hits / max(hits + missed, 1e-12)
    return {
        "f1": 2 * precision * recall / max(precision + recall, 1e-12),
        "precision": precision,
        "recall": recall,
    }


def word_f1(text: str, wanted: str) -> float:
    """F1 of words, counted, of one page."""
    found, true = (Counter(_WORD.findall(one)) for one in (text, wanted))
    return 2 * (found & true).total() / max(found.total() + true.total(), 1)


def measure(data: Path, tries: int) -> list[dict[str, Any]]:
    """A row an engine."""
    truth = json.loads((data / "ground-truth.json").read_text())
    pages = {
        name: gzip.decompress((data / "html" / f"{name}.html.gz").read_bytes()).decode(
            "utf-8", "replace"
        )
        for name in truth
    }
    seconds: dict[str, list[float]] = {name: [] for name in ENGINES}
    texts: dict[str, list[str]] = {}
    for _ in range(tries):
        for name, engine in ENGINES.items():
            started = time.process_time()
            texts[name] = [engine(page, truth[key].get("url")) for key, page in pages.items()]
            seconds[name].append(time.process_time() - started)
    wanted = [item["articleBody"] for item in truth.values()]
    rows = []
    for name, found in texts.items():
        pairs = list(zip(found, wanted, strict=True))
        counts = [shingle_counts(*pair) for pair in pairs]
        rows.append(
            {
                "name": name,
                "pages": len(pages),
                **f1(counts),
                "f1_halves": [f1(counts[::2])["f1"], f1(counts[1::2])["f1"]],
                "word_f1": sum(word_f1(*pair) for pair in pairs) / len(pairs),
                "pages_per_second": len(pages) / min(seconds[name]),
            }
        )
    return rows


def structure(folder: Path, engine: Engine) -> dict[str, dict[str, int]]:
    """Of each kind of element how many there are in the archives, and how many were found."""
    totals: dict[str, dict[str, int]] = {}
    for name, place in ARCHIVES.items():
        with (folder / name).open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                markup = record.reader.read().decode("utf-8", "replace")
                made = engine(markup, record.headers["WARC-Target-URI"])
                there = elements(markup, place)
                kept = marked(made)
                for kind, wanted in there.items():
                    total = totals.setdefault(kind, {"there": 0, "found": 0})
                    total["there"] += wanted.total()
                    total["found"] += (wanted & kept[kind]).total()
    return totals


def elements(markup: str, place: str) -> dict[str, Counter[str]]:
    """The elements of the content as the page has them: their text, white space collapsed."""
    tree = lxml.html.document_fromstring(
        markup.encode(), parser=lxml.html.HTMLParser(encoding="utf-8", huge_tree=True)
    )
    found: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for content in tree.xpath(place)[:1]:
        for unseen in content.xpath(_UNSEEN):
            unseen.drop_tree()
        for end in content.iter("br"):
            end.text = "\n"
        for level in range(1, 7):
            for heading in content.iter(f"h{level}"):
                if text := _plain(heading.text_content()):
                    found["headings"][f"{level} {text}"] += 1
        for listing in content.iter("pre"):
            if (text := _lines(listing.text_content())) and listing.find(".//pre") is None:
                found["listings"][text] += 1
        for item in content.iter("li"):
            if text := _plain(_first_line(item)):
                found["items"][text] += 1
        for row in content.iter("tr"):
            cells = [_plain(cell.text_content()) for cell in row if cell.tag in ("td", "th")]
            if len(cells) > 1 and any(cells):
                found["rows"][_row(cells)] += 1
    return found


def marked(markdown: str) -> dict[str, Counter[str]]:
    """The elements that a text marks as what they are."""
    found: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    fence, listing = "", list[str]()
    for line in markdown.split("\n"):
        bare = line.strip()
        if fence:
            if bare == fence:
                indent = min((len(x) - len(x.lstrip()) for x in listing if x.strip()), default=0)
                inner = len(line) - len(bare)
                found["listings"][_lines("\n".join(x[min(inner, indent) :] for x in listing))] += 1
                fence, listing = "", []
            else:
                listing.append(line)
            continue
        text = re.sub(r"^(?:> ?|[-*] |\d+\. )+", "", bare)
        if opened := re.match(r"(`{3,})", text):
            fence = opened[1]
            continue
        if text != bare and re.search(r"(?:[-*]|\d+\.) ", bare):
            found["items"][_plain(text)] += 1
        if heading := re.match(r"(#{1,6}) (.*)", text):
            found["headings"][f"{len(heading[1])} {_plain(heading[2])}"] += 1
        elif text.startswith("| "):
            cells = re.split(r"(?<!\\)\|", text.replace("<br>", " "))[1:-1]
            found["rows"][_row([_plain(cell) for cell in cells])] += 1
    return found


# Menus stand in the content of MDN's pages as well.
_UNSEEN = (
    ".//script | .//style | .//nav | .//button | .//svg"
    " | .//*[@id='Quick_Links' or @id='Quick_links']"
)
KINDS = ("headings", "listings", "items", "rows")
_MARKS = re.compile(r"[`\\¶🔗]|\s+#$")


def _row(cells: list[str]) -> str:
    # A row that is shorter than others, because its cells are wider, is filled up in Markdown.
    return " | ".join(cells).rstrip(" |")


def _plain(text: str) -> str:
    return "".join(_MARKS.sub("", " ".join(text.split())).split())


def _lines(text: str) -> str:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    return "\n".join(lines).strip("\n")


def _first_line(item: Any) -> str:
    """What stands in an item before anything that has lines of its own."""
    pieces = [item.text or ""]
    for child in item:
        if child.tag in ("ul", "ol", "pre", "table", "dl", "p", "div", "br", "blockquote"):
            inner = _first_line(child) if child.tag in ("p", "div") else ""
            if not "".join(pieces).strip() and inner:
                return inner
            break
        pieces.append(child.text_content() if isinstance(child.tag, str) else "")
        pieces.append(child.tail or "")
    return "".join(pieces)


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--structure", type=Path)
    parser.add_argument("--tries", type=int, default=2)
    args = parser.parse_args()
    rows = measure(args.data, args.tries)
    print(f"{'':20}{'F1':>8}{'P':>8}{'R':>8}{'words':>8}{'pages/s':>9}")
    for row in rows:
        print(
            f"{row['name']:20}{row['f1']:8.4f}{row['precision']:8.4f}{row['recall']:8.4f}"
            f"{row['word_f1']:8.4f}{row['pages_per_second']:9.1f}"
        )
    by_name = {row["name"]: row for row in rows}
    ours = by_name[DEFAULT]
    lead = ours["f1"] - max(by_name[name]["f1"] for name in SINGLE)
    speed = ours["pages_per_second"] / by_name[PEER]["pages_per_second"]
    bars = [
        {"name": "f1", "value": ours["f1"], "target": 0.962, "holds": ours["f1"] >= 0.962},
        {"name": "f1_minus_best_engine", "value": lead, "target": 0.0, "holds": lead >= 0},
        {"name": "speed_vs_trafilatura", "value": speed, "target": SPEED, "holds": speed >= SPEED},
    ]
    folder = args.structure or args.data.parent / "html_warc"
    if folder.is_dir():
        counts = structure(folder, own("auto", "markdown"))
        for kind, total in counts.items():
            share = total["found"] / max(total["there"], 1)
            print(f"{kind:12}{total['found']:7} of {total['there']:7}  {share:.4f}")
            holds = share >= STRUCTURE
            bars.append({"name": kind, "value": share, "target": STRUCTURE, "holds": holds})
    else:
        print(f"no structure counted: {folder} is not there")
    print(
        json.dumps(
            {
                "benchmark": "extraction",
                "input": {"pages": ours["pages"], "measure": "shingles of 4 words, by page"},
                "versions": {
                    name: version(name) for name in ("trafilatura", "resiliparse", "lxml")
                },
                "rows": rows,
                "bars": bars,
            }
        )
    )


if __name__ == "__main__":
    main()
