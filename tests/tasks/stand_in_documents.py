"""Stages run through the real engine on documents a test gives, in place of `clean`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xxhash

from tasks.engine.config import StageConfig
from tasks.engine.progress import Listener, NullListener
from tasks.engine.run.execute import BuildResult
from tasks.stages import annotate, quality
from tasks.stages.filter import STAGE as FILTER
from tests.tasks.documents_stage import CLEAN, built_on

STAGES = (CLEAN, quality.STAGE, annotate.STAGE, FILTER)


def document(url: str, text: str | None) -> dict[str, Any]:
    return {
        "doc_id": xxhash.xxh3_128_hexdigest(f"{url}\0{text}".encode()),
        "url": url,
        "text": text,
        "source": "test",
        "text_chars": len(text or ""),
    }


class Heard(NullListener):
    """Keeps the lines that stages log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, stage: str, message: str) -> None:
        self.lines.append(f"{stage}: {message}")


def built(
    home: Path,
    documents: Path,
    listener: Listener | None = None,
    hold: tuple[str, ...] = (),
    **configs: StageConfig,
) -> dict[str, BuildResult]:
    """Build the stages configured, on top of the documents."""
    return built_on(home, STAGES, documents, configs, listener, hold)
