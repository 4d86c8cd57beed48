"""tokenizer and pack run through the real engine on documents a test gives, in place of `dedup`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xxhash

from tasks.engine.config import StageConfig
from tasks.engine.run.execute import BuildResult
from tasks.stages import pack, tokenizer
from tests.tasks.documents_stage import DEDUP, built_on, write_parts

STAGES = (DEDUP, tokenizer.STAGE, pack.STAGE)


def document(text: str | None, source: str = "test", split: str = "train") -> dict[str, Any]:
    identity = xxhash.xxh3_128_hexdigest(f"{source}\0{text}".encode())
    return {"doc_id": identity, "url": "u", "text": text, "source": source, "split": split}


def built(
    folder: Path, parts: Sequence[Sequence[dict[str, Any]]], **configs: StageConfig
) -> dict[str, BuildResult]:
    """Build the stages configured in `folder`, on top of documents in these parts."""
    documents = write_parts(folder / "documents", parts)
    return built_on(folder / "home", STAGES, documents, configs)
