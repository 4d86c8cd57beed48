"""The table of pages every later stage starts from."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from llm.corpus.source.open import Origin
from llm.corpus.source.records import Page

PAGES = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("fetched_at", pa.timestamp("us", tz="UTC")),
        pa.field("content_type", pa.string(), nullable=False),
        pa.field("charset", pa.string()),
        pa.field("robots", pa.string()),
        pa.field("html", pa.binary(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field(
            "provenance",
            pa.struct(
                [
                    pa.field("file", pa.string()),
                    pa.field("offset", pa.int64()),
                    pa.field("digest", pa.string()),
                    pa.field("distribution", pa.string()),
                    pa.field("license", pa.string()),
                ]
            ),
        ),
    ]
)


def page_row(identity: str, name: str, origin: Origin, page: Page) -> dict[str, Any]:
    """One row of `PAGES`; `name` is the file's, relative to its source."""
    return {
        "doc_id": identity,
        "url": page.url,
        "fetched_at": page.fetched_at,
        "content_type": page.content_type,
        "charset": page.charset,
        "robots": page.robots,
        "html": page.payload,
        "source": origin.name,
        "provenance": {
            "file": name,
            "offset": page.offset,
            "digest": page.digest,
            "distribution": name.rpartition("==")[0] if origin.kind == "pydocs" else None,
            "license": page.license or origin.license,
        },
    }
