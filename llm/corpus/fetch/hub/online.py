"""Asking the hub from a process that is kept off it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants

from llm.hub_access import KEPT_OFF


@contextmanager
def hub_asked() -> Iterator[None]:
    """Ingot keeps all its processes off the hub; what a recipe names there is asked for all the
    same, unless the user keeps off it. The library reads the variable at its import alone."""
    before = constants.HF_HUB_OFFLINE
    if os.environ.get(KEPT_OFF):
        constants.HF_HUB_OFFLINE = False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
