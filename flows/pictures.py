"""Pictures for Prefect's pages: SVG files that the report server serves."""

from __future__ import annotations

import hashlib
import os

from flows.reports import PICTURES, served, shown_folder
from tasks.engine.panels import Panel
from tasks.engine.panels_svg import picture
from tasks.engine.store import Store


def hung(panel: Panel, store: Store) -> str | None:
    """The address of a panel's picture; none where it has none or nobody serves it.

    A picture is named by its bytes, so what was drawn before is written once.
    """
    address = served(store)
    drawn = picture(panel) if address else ""
    if not drawn:
        return None
    data = drawn.encode()
    name = f"{hashlib.sha256(data).hexdigest()[:24]}.svg"
    folder = shown_folder() / PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / name).exists():
        written = folder / f"{name}.{os.getpid()}"
        written.write_bytes(data)
        written.replace(folder / name)
    return f"{address}/{PICTURES}/{name}"
