"""Columns of the tables that decontamination makes."""

from __future__ import annotations

import pyarrow as pa

# A text to look for and when it counts as found, all in words. place: which text of the item;
# text: its words, a space between; run: so many in a row; covered: so many in runs, all told;
# edited: so many in whatever order (0 = texts with changes are not looked for); beside: the other
# texts of the item, a line each, which have to stand beside a short one that was changed.
SOUGHT = pa.schema(
    [
        pa.field("evaluation_set", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("place", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("words", pa.int32(), nullable=False),
        pa.field("run", pa.int32(), nullable=False),
        pa.field("covered", pa.int32(), nullable=False),
        pa.field("edited", pa.int32(), nullable=False),
        pa.field("beside", pa.string(), nullable=False),
    ]
)
# A text that was found in a document. rule: "whole", "ngram" or "edited"; share: of the text's
# words; ngrams: where in it the n-grams begin that the document has; start, end: characters of
# the document, and found what stands there.
FOUND = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("evaluation_set", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("place", pa.int32(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("share", pa.float64(), nullable=False),
        pa.field("words", pa.int32(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("found", pa.string(), nullable=False),
        pa.field("ngrams", pa.list_(pa.int32()), nullable=False),
    ]
)
# N-grams that too many documents have to be evidence.
COMMON = pa.schema(
    [
        pa.field("ngram", pa.string(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
    ]
)
