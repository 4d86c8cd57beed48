"""The metrics of one text, as a row of a table."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from llm.corpus.text_metrics.languages import full_stops, lists_of, stop_words, word_lengths
from llm.corpus.text_metrics.metrics import metrics
from llm.corpus.text_metrics.text_counts import text_counts


def measured(text: str, language: str | None = "en") -> dict[str, Any]:
    """Values by the name of their column."""
    counts = text_counts(pa.array([text], pa.string()), stop_words(), lists_of([language]))
    columns = metrics(counts, word_lengths([language]), full_stops([language]))
    return {name: column[0].as_py() for name, column in columns.items()}
