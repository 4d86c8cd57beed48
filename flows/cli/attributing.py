"""`ingot attribute`: the pages in which a text stands, word for word."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.built import Channel, find_artifacts, first_built
from flows.cli.options import AsJson, Recipe
from llm.errors import ExpectedError
from tasks.engine.store import channels
from tasks.engine.upkeep import trace as tracing
from tasks.panels.numbers import counted

if TYPE_CHECKING:
    from llm.corpus.attribution.sources import Attribution, Source, SourcedSpan
    from llm.serving.api.attribution import Attributor

_SHOWN = 300  # characters of a span
_MOST = 1_000_000  # characters of a text: some ten seconds of a processor


class NoTextError(ExpectedError, ValueError):
    """There is no text to look for, one too many, or one that is too long."""


def attribute(
    text: Annotated[str, typer.Argument(help="The text to look for.")] = "",
    file: Annotated[
        Path | None, typer.Option(help="Read it from a file; - is standard input.")
    ] = None,
    recipe: Recipe = "quickstart",
    channel: Channel = channels.LATEST,
    min_tokens: Annotated[
        int, typer.Option(min=1, help="Spans of fewer tokens are counted, not shown.")
    ] = 8,
    most_places: Annotated[
        int, typer.Option(min=1, help="Spans at more places are counted, not shown.")
    ] = 1_000,
    documents: Annotated[int, typer.Option(min=1, help="Documents named for a span.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Show in which pages a text stands, word for word: those a model was trained on, and those
    that were left out of training, with the reason."""
    sought = _text(text, file)
    if len(sought) > _MOST:
        raise NoTextError(
            f"the text has {len(sought):,} characters, and {_MOST:,} are looked for at a time; "
            "give it in parts"
        )
    index = first_built(recipe, channel, ("index",))
    from tasks.attributing import RULE, open_sources

    rule = replace(RULE, min_tokens=min_tokens, most_places=most_places, documents=documents)
    found = open_sources(index).attribute(sought, rule)
    if as_json:
        print(json.dumps(found.record(), indent=1, default=str))
        return
    for line in _lines(found, recipe):
        print(line)


def open_attributor(recipe: str, channel: str) -> Attributor | None:
    """What a server asks; none where the recipe has no index."""
    built = find_artifacts(recipe, channel)
    if "index" not in built:
        return None
    from functools import partial

    from llm.serving.api.attribution import Attributor
    from tasks.attributing import RULE, open_sources

    def passport(doc_id: str) -> list[dict[str, Any]]:
        rows = tracing.trace(built.values(), doc_id)
        # What JSON has no word for, such as a date, is told as text.
        told = [{"stage": row.stage, "output": row.output, "row": row.row} for row in rows]
        plain: list[dict[str, Any]] = json.loads(json.dumps(told, default=str))
        return plain

    return Attributor(partial(open_sources(built["index"]).attribute, rule=RULE), passport)


def _text(text: str, file: Path | None) -> str:
    if bool(text) == (file is not None):
        raise NoTextError("give a text, or --file with one (- is standard input)")
    if file is None:
        return text
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NoTextError(f"--file {file}: no text can be read there: {error}") from error


def _lines(found: Attribution, recipe: str) -> Iterator[str]:
    size = sum(found.searched.values()) / 1e6
    if not found.spans:
        yield f"not found in what was trained on; {size:,.2f} MB were searched"
    else:
        yield (
            f"{found.covered:.0%} stands word for word in what was trained on; "
            f"{size:,.2f} MB were searched"
        )
    yield from _spans(found.spans)
    if found.left_out:
        yield ""
        yield "seen, but not trained on:"
        yield from _spans(found.left_out)
    for row in found.suppressed:
        yield ""
        yield f"not shown: {counted(row['spans'], 'span')}, {row['rule']}"
    if found.suppressed:
        yield "--min-tokens and --most-places show more"
    if found.spans or found.left_out:
        yield ""
        yield f"all verdicts on a document: ingot trace DOC_ID --recipe {recipe}"


def _spans(spans: Sequence[SourcedSpan]) -> Iterator[str]:
    """Each once, however often the text has it."""
    times = Counter(span.text for span in spans)
    for span in {span.text: span for span in spans}.values():
        yield ""
        yield from _span(span, times[span.text])


def _span(span: SourcedSpan, times: int) -> Iterator[str]:
    text = span.text.strip()
    cut = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    yield f"“{' '.join(cut.split())}”"
    rare = f"one in {span.bytes_per_place / 1e6:,.2f} MB"
    again = f"; {times:,} times in the text" if times > 1 else ""
    yield f"  {counted(span.tokens, 'token')}, {counted(span.count, 'place')}, {rare}{again}"
    for source in span.sources:
        yield f"  {source.row['doc_id']}  {_origin(source.row)}"
        if source.row.get("stage"):
            yield f"    left out by {_reason(source.row)}"
        yield f"    …{_one_line(source)}…"


def _origin(row: Mapping[str, Any]) -> str:
    parents = row.get("parent_doc_ids")
    known: Sequence[Any] = (
        row.get("title"),
        row.get("url"),
        row.get("source"),
        row.get("licence"),
        row.get("role"),
        f"made of {', '.join(parents)}" if parents else None,
    )
    return "  ".join(" ".join(str(part).split()) for part in known if part)


def _reason(row: Mapping[str, Any]) -> str:
    said = f"{row['stage']}: {row['reason']}"
    if row["value"] is not None:
        said += f", {row['value']:g}"
    if row["threshold"] is not None:
        said += f" where the threshold is {row['threshold']:g}"
    return f"{said} ({row['detail']})" if row["detail"] else said


def _one_line(source: Source) -> str:
    whole = f"{source.before[-60:]}[{source.found}]{source.after[:60]}"
    return " ".join(whole.split())


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(attribute)
