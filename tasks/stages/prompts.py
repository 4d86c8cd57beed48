"""Prompts of a config, and the context they must leave room in for an answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llm.tokens.bpe import min_tokens

CONTEXT = "the model's context, pack.sequence_length"
# Of ChatML: the three special tokens of a turn and the opening of the next, the newline between
# them, "assistant" and a newline; the user's role is counted with what the user says.
_FRAME_TOKENS, _FRAME_BYTES = 6, len("user\n\nassistant\n") + 3


def answers_fit(stage: str, new_tokens: int, context: int) -> Iterator[str]:
    """What is wrong with the length of answers."""
    if new_tokens >= context:
        yield (
            f"{stage}.new_tokens: {new_tokens} leaves no room for a prompt in {CONTEXT}: "
            f"{context}; lower it, or raise pack.sequence_length"
        )


def texts_fit(
    field: str,
    texts: Iterable[str],
    context: int,
    longest_token: int,
    digits: str,
    chat: bool = False,
) -> Iterator[str]:
    """What no tokenizer of the recipe could make fit; what it will make is not known yet.

    Args:
        longest_token, digits: of the tokenizer's config; 0 where one is taken whose tokens may be
            of any length.
        chat: the texts are what a user says, in turns of their own.
    """
    for place, text in enumerate(texts):
        size = len(text.encode()) + (_FRAME_BYTES if chat else 0)
        if 0 < size < context:
            continue  # no token is less than a byte
        if not size:
            yield f"{field}.{place}: an empty text has no token to go on from; give it one"
            continue
        if not longest_token:
            continue
        opened = f"user\n{text}" if chat else text
        shortest = min_tokens(opened, longest_token, digits) + (_FRAME_TOKENS if chat else 0)
        if shortest >= context:
            yield (
                f"{field}.{place}: {text[:40]!r} has at least {shortest} tokens, which leave no "
                f"room for an answer in {CONTEXT}: {context}; shorten it, or raise "
                "pack.sequence_length"
            )
