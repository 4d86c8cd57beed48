"""Who keeps a process off the Hugging Face hub: Ingot, as all its own, or the user."""

from __future__ import annotations

import os

# Set where HF_HUB_OFFLINE is Ingot's own choice.
KEPT_OFF = "INGOT_KEPT_OFF_HUB"


def kept_off_by_user() -> bool:
    """Whether HF_HUB_OFFLINE says so, and the user has set it."""
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    return offline and not os.environ.get(KEPT_OFF)
