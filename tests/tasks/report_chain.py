"""A real chain from HTML pages to packed tokens and its report, small enough for a test."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

from tasks.engine.config import StageConfig
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildResult
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.stage.stage import Stage, registry
from tasks.engine.store.store import Store
from tasks.stages import clean, decontaminate, dedup, pack, report, source, tokenizer
from tests.llm.tokens.small_tokenizer import library_texts

STAGES: Mapping[str, Stage] = registry(
    module.STAGE for module in (source, clean, dedup, decontaminate, tokenizer, pack, report)
)
HOSTILE = "Wares & <script>alert('x')</script> | </pre></details> `code` said the hostile page."
_VOID = {"meta", "br", "hr", "img", "link", "input"}


def write_pages(folder: Path) -> Path:
    """60 pages of prose, three exact copies, one without text, one record without a text field."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = sorted({part for part in library_texts()[0].split("\n\n") if len(part) > 120})[:59]
    texts.append(f"{HOSTILE} {texts[0]}")
    pages = [
        f"<html><body><p>{html.escape(text)}</p></body></html>" for text in [*texts, *texts[-3:]]
    ]
    rows: list[dict[str, str]] = [
        {"text": page, "url": f"https://shop.example/{number}"}
        for number, page in enumerate([*pages, "<html><body></body></html>"])
    ]
    rows.append({"body": "no field of the name text"})
    (folder / "pages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def configs(pages: Path, *names: str) -> dict[str, StageConfig]:
    """Of the stages named, in a small size."""
    everything: dict[str, StageConfig] = {
        "source": source.SourceConfig.model_validate(
            {
                "workers": 1,
                "sources": [
                    {
                        "name": "shop",
                        "paths": [str(pages)],
                        "row_type": "text/html",
                        "license": "CC0-1.0",
                    }
                ],
            }
        ),
        "clean": clean.CleanConfig(workers=1),
        "dedup": dedup.DedupConfig(workers=1, validation_fraction=0.2),
        "decontaminate": decontaminate.DecontaminateConfig(workers=1),
        "tokenizer": tokenizer.TokenizerConfig(vocabulary_size=512, sample_bytes=20_000),
        "pack": pack.PackConfig(workers=1, sequence_length=32),
        "report": report.ReportConfig(title="Small <run>"),
    }
    return {name: everything[name] for name in everything if name in names}


def built(home: Path, stages: Mapping[str, StageConfig]) -> dict[str, BuildResult]:
    """Build these stages."""
    return build(Planner(chain(STAGES, stages), stages, "test", Store(str(home)), Selection()))


def page_of(done: Mapping[str, BuildResult]) -> str:
    """The HTML of the report."""
    folder = done["report"].artifact.data("report").folder()
    return (folder / report.PAGE).read_text(encoding="utf-8")


class Page(HTMLParser):
    """Parses a page, and fails on a tag that is not closed or that nobody opened.

    Attributes:
        text: all character data, style left out.
        tags: names of all elements.
        links: values of every attribute that can load something.
        anchors: values of every id.
    """

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.tags = "", set[str]()
        self.links, self.anchors = list[str](), list[str]()
        self.cells: list[list[str]] = []
        self._open: list[str] = []
        self.feed(content)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "srcset", "data"):
                self.links.append(value or "")
            elif name == "id":
                self.anchors.append(value or "")
            assert not name.startswith("on"), f"<{tag} {name}> runs a script"
        if tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th"):
            self.cells[-1].append("")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> closes <{self._open[-1]}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data
        if self._open and self._open[-1] in ("td", "th"):
            self.cells[-1][-1] += data

    def row(self, *first: str) -> list[str]:
        """The first table row that begins with these cells."""
        return next(row for row in self.cells if tuple(row[: len(first)]) == first)
