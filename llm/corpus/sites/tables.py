"""Columns of the tables about what the pages of one site have in common."""

from __future__ import annotations

import pyarrow as pa

from llm.tables import DOC_ID

# own: the address a page was got from, declared: that which it says it has, where that may be
# true, both normalised; date: what it says of itself; key: of the site, by which corpora are gone
# through in ranges.
ADDRESSES = pa.schema(
    [
        DOC_ID,
        pa.field("site", pa.string(), nullable=False),
        pa.field("own", pa.string(), nullable=False),
        pa.field("declared", pa.string()),
        pa.field("date", pa.string()),
        pa.field("key", pa.uint64(), nullable=False),
    ]
)
# address: the one that two pages have in common; declared: whether the one left out says so, and
# did not merely come from there.
DUPLICATES = pa.schema(
    [
        DOC_ID,
        pa.field("kept_doc_id", pa.string(), nullable=False),
        pa.field("address", pa.string(), nullable=False),
        pa.field("declared", pa.bool_(), nullable=False),
    ]
)
# Sites with enough pages; least: on so many of them a line has to stand to go.
SITES = pa.schema(
    [
        pa.field("site", pa.string(), nullable=False),
        pa.field("pages", pa.int64(), nullable=False),
        pa.field("least", pa.int64(), nullable=False),
    ]
)
# How many pages of one part have a line; key: of the site and the line.
COUNTS = pa.schema(
    [
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("least", pa.int64(), nullable=False),
        pa.field("pages", pa.int64(), nullable=False),
    ]
)
REPEATED = pa.schema(
    [
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("pages", pa.int64(), nullable=False),
    ]
)
# Of each document that lost some: lines and their characters.
CUT = pa.schema(
    [
        DOC_ID,
        pa.field("lines", pa.int64(), nullable=False),
        pa.field("characters", pa.int64(), nullable=False),
    ]
)
# What one part lost of each line: how often it was taken out, and of how many characters that was.
CUT_LINES = pa.schema(
    [
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("site", pa.string(), nullable=False),
        pa.field("line", pa.string(), nullable=False),
        pa.field("removed", pa.int64(), nullable=False),
        pa.field("characters", pa.int64(), nullable=False),
    ]
)
# The same over all parts, with the pages that have the line and all pages of the site.
LINES = pa.schema(
    [
        pa.field("site", pa.string(), nullable=False),
        pa.field("line", pa.string(), nullable=False),
        pa.field("pages", pa.int64(), nullable=False),
        pa.field("site_pages", pa.int64(), nullable=False),
        pa.field("removed", pa.int64(), nullable=False),
        pa.field("characters", pa.int64(), nullable=False),
    ]
)
