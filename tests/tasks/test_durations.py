"""Lengths of time as people write them."""

from __future__ import annotations

import pytest

from tasks.durations import DurationError, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90m", 5400),
        ("8h", 28_800),
        ("2d", 172_800),
        ("1.5 h", 5400),
        ("1h30m", 5400),
        ("1d 2h", 93_600),
    ],
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "0h", "-1h", "h", "8 weeks", "1h30", "m30s"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(DurationError, match="write it as 90m, 8h, 1h30m or 2d"):
        seconds_of(text)
