"""Tests ask no network, nor does what they start: set before any of these libraries is imported."""

from __future__ import annotations

import os

from hypothesis import settings

for _name, _value in {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "HF_HUB_OFFLINE": "1",
}.items():
    os.environ.setdefault(_name, _value)

# On a busy machine a slow example says nothing about the code; what must be fast has tests of its
# own, which count steps or processor seconds.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are called by their argument: what was packed a second later has other ones, and every
    process that runs tests beside others must call them alike."""
    return argname if isinstance(val, bytes) else None
