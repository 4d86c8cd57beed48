"""What a chat template puts around messages, found by rendering marks in their place."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Sequence

# Stands for a message's text where the frame is looked for; letters of a private use area, which
# no template treats in a way of its own.
_PLACE = re.compile("\ue000(\\d+)\ue001")
_TURNS = ("user", "assistant")
# The day that a template gets which writes the date into a prompt (Llama 3.2 does): prompts are
# data, and the same tomorrow.
_DAY = datetime.datetime(2024, 7, 26)

# Given (role, content) of each message, and whether the assistant's turn is opened behind them.
Render = Callable[[Iterable[tuple[str, str]], bool], str]


def fixed_date(form: str) -> str:
    """Stands for the clock in templates that ask for it."""
    return _DAY.strftime(form)


def show_places(render: Render, roles: Sequence[str], open_turn: bool) -> list[str | int]:
    """Texts of the template and, in every second place, the place of a message."""
    marked = ((role, _mark(place)) for place, role in enumerate(roles))
    parts: list[str | int] = list(_PLACE.split(render(marked, open_turn)))
    parts[1::2] = [int(place) for place in parts[1::2]]
    return parts


def token_behind_answers(render: Render, special: re.Pattern[str]) -> str | None:
    """The first special token behind an answer; None where there is none."""
    parts = show_places(render, _TURNS, False)
    found = special.search(str(parts[-1])) if parts[-2:-1] == [1] else None
    return found[0] if found else None


def trims(render: Render) -> bool:
    """Whether white space around a message's text is left out."""
    shown = render(((role, f" {_mark(place)} ") for place, role in enumerate(_TURNS)), False)
    return any(f" {_mark(place)} " not in shown for place in range(len(_TURNS)))


def _mark(place: int) -> str:
    return f"\ue000{place}\ue001"
