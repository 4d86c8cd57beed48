"""What training ends with where it cannot go on."""

from __future__ import annotations

from llm.errors import ExpectedError


class NonFiniteLossError(ExpectedError, ArithmeticError):
    """Loss or gradient is not a number, or far out again and again; no step that is was taken."""
