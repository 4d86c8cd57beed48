"""Personal data and secrets a pattern can find: which there are in a text, and the text without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType

from llm.corpus.annotate.pii.emails import emails
from llm.corpus.annotate.pii.internet_addresses import ipv4, ipv6
from llm.corpus.annotate.pii.keys import keys
from llm.corpus.annotate.pii.numbers import cards, ibans, social_security
from llm.corpus.annotate.pii.phones import phones
from llm.corpus.annotate.pii.spans import PiiMatch

# What finds each kind. Where two find the same characters, the earlier kind has them.
_FINDERS: Mapping[str, Callable[[str], Iterator[PiiMatch]]] = MappingProxyType(
    {
        "key": keys,
        "email": emails,
        "iban": ibans,
        "card": cards,
        "ssn": social_security,
        "ipv6": ipv6,
        "ipv4": ipv4,
        "phone": phones,
    }
)
KINDS = ("email", "phone", "ipv4", "ipv6", "card", "iban", "ssn", "key")


def pii_matches(text: str, kinds: Collection[str]) -> list[PiiMatch]:
    """What is found of these kinds, from the first to the last; no two overlap."""
    found = [match for kind, find in _FINDERS.items() if kind in kinds for match in find(text)]
    if len(found) < 2:
        return found
    kept, taken = [], bytearray(len(text))
    for match in found:  # the kinds one after the other, by rank
        if not any(taken[match.start : match.end]):
            taken[match.start : match.end] = b"\1" * (match.end - match.start)
            kept.append(match)
    return sorted(kept)


def pii_counts(text: str) -> dict[str, int]:
    """How often each of the `KINDS` is found, repeated ones counted again."""
    counted = Counter(match.kind for match in pii_matches(text, KINDS))
    return {kind: counted[kind] for kind in KINDS}


def masked(text: str, matches: Collection[PiiMatch]) -> str:
    """The text with a placeholder in the place of each match: `<EMAIL>`, `<IPV4>`.

    Args:
        matches: of `pii_matches`.
    """
    pieces, place = [], 0
    for match in matches:
        pieces += [text[place : match.start], f"<{match.kind.upper()}>"]
        place = match.end
    return "".join([*pieces, text[place:]])
