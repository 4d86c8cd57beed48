"""Which errors are messages for the user, and how they are printed."""

from __future__ import annotations

from tasks.engine.errors import IngotError


def explains_itself(error: BaseException) -> bool:
    """Whether an error says what was wrong and what to do; any other is a fault of the program."""
    return isinstance(error, IngotError) or type(error).__module__.startswith("llm.")


def message(error: BaseException) -> str:
    """`ErrorName: what was wrong`, and the notes on it, a line each."""
    notes: list[str] = getattr(error, "__notes__", [])
    return "\n".join([f"{type(error).__name__}: {error}", *notes])
