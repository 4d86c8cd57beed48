"""What an index knows of its texts: a row each, in the order in which the blocks have them."""

from __future__ import annotations

import pyarrow as pa

from llm.tables import DOC_ID, REMOVED

# Sets of texts, each with blocks and a table of its own. `left_out` was never trained on.
TRAINED, LEFT_OUT = "trained", "left_out"
INSTRUCTIONS, PREFERENCES, THUMBS = "instructions", "preferences", "thumbs"
ANSWER_SETS = (INSTRUCTIONS, PREFERENCES, THUMBS)
TRAINING_SETS = (TRAINED, *ANSWER_SETS)

_ORIGIN = [
    pa.field("url", pa.string()),
    pa.field("title", pa.string()),
    pa.field("source", pa.string()),
    pa.field("licence", pa.string()),
]
INDEXED = pa.schema([DOC_ID, *_ORIGIN])
# Which stage left a document out, and what it says of that.
LEFT = pa.schema(
    [DOC_ID, *_ORIGIN, pa.field("stage", pa.string(), nullable=False), *list(REMOVED)[1:]]
)
# role: "answer", or of a pair "chosen" or "rejected".
ANSWERS = pa.schema(
    [
        DOC_ID,
        pa.field("role", pa.string(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("parent_doc_ids", pa.list_(pa.string()), nullable=False),
    ]
)
HELD_OUT = "held_out"
