"""Standard output for one purpose alone."""

from __future__ import annotations

import os
import sys


def set_stdout_aside() -> int:
    """A descriptor of what standard output was.

    From now on what anybody writes to standard output, also below Python, is found on standard
    error.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept
