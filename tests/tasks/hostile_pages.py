"""`clean_pages` that a page containing KILL brings down: by a crash, or by never ending."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from llm.corpus.clean.outcome import Extraction, Limits, Outcome, Page
from llm.corpus.clean.pages import clean_pages as real


def clean_pages(pages: Sequence[Page], limits: Limits, how: Extraction) -> list[Outcome]:
    if any(b"KILL" in page.payload for page in pages):
        if os.environ["INGOT_TEST_HANG"]:
            time.sleep(600)
        os.abort()
    return real(pages, limits, how)
