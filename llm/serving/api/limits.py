"""What one request may ask for at most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """
    Attributes:
        body_bytes: of a request.
        tokens: of an answer; one that asks for more gets this many.
        choices: answers of a request: `n` times its prompts.
        stops: texts that end an answer.
    """

    body_bytes: int
    tokens: int
    choices: int
    stops: int
