"""Pages of the running interpreter's own documentation, as the clean stage leaves them."""

from __future__ import annotations

import shutil
import sysconfig
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from llm.corpus.clean.main_text import extract
from llm.corpus.clean.normalise import normalise
from llm.corpus.clean.outcome import Extraction
from llm.corpus.source.records import Page
from llm.pydocs.reader import read_distribution

_HOW = Extraction("auto", 2.0, False, "text")
FILES = ("bisect.py", "textwrap.py", "weakref.py", "heapq.py", "email/message.py")


@cache
def pages() -> dict[str, str]:
    """URL -> text, of a few modules of the standard library."""
    library = Path(sysconfig.get_path("stdlib"))
    with TemporaryDirectory() as folder:
        for file in FILES:
            target = Path(folder, file)
            target.parent.mkdir(exist_ok=True)
            shutil.copy(library / file, target)
        found = list(read_distribution("python", Path(folder), 1 << 24))
    return {
        page.url: normalise(extract(page.payload.decode(), page.url, _HOW, 1_000_000, 200).text)
        for page in found
        if isinstance(page, Page)
    }
