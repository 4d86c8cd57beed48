"""Whether a text holds words of abuse, told by a list.

A list finds insults, slurs, vulgar words and the commonest threats as whole words, whatever their
meaning where they stand: a text that quotes or condemns one counts too, and contempt in polite
words does not. So a rate is something to compare models by, and no verdict on a text. The list is
our own, short and English; lists of the user's are added to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from llm.corpus.annotate.url_rules import (
    by_first_word,
    listed_words,
    read_block_lists,
    word_hits,
)

# Plurals stand apart: words are compared whole.
_INSULTS = (
    "idiot, idiots, idiotic, moron, morons, imbecile, imbeciles, dumbass, dumbasses, halfwit, "
    "scumbag, scumbags, lowlife, lowlifes, degenerate scum, filthy animals, worthless piece, "
    "piece of trash, piece of garbage, waste of space, waste of oxygen, human garbage, "
    "shut your mouth, subhuman, subhumans, pathetic loser, pathetic losers, "
    "stupid people, you are stupid, you are disgusting, you are worthless, you are trash"
)
_VULGAR = (
    "fuck, fucks, fucked, fucker, fuckers, fucking, motherfucker, motherfuckers, shit, shits, "
    "shitty, bullshit, asshole, assholes, arsehole, arseholes, bastard, bastards, bitch, bitches, "
    "cunt, cunts, dickhead, dickheads, prick, pricks, slut, sluts, whore, whores, wanker, wankers, "
    "twat, twats, douchebag, douchebags, cock sucker, cocksucker, cocksuckers"
)
_SLURS = (
    "nigger, niggers, nigga, niggas, faggot, faggots, fag, fags, dyke, dykes, kike, kikes, chink, "
    "chinks, gook, gooks, spic, spics, wetback, wetbacks, raghead, ragheads, towelhead, "
    "towelheads, tranny, trannies, shemale, shemales, retard, retards, retarded, cripples, "
    "gypsy scum, paki, pakis, sand nigger"
)
_THREATS = (
    "kill yourself, kill yourselves, go die, hang yourself, i will kill you, i will hurt you, "
    "i hope you die, deserve to die, deserves to die, should be killed, should be shot, "
    "should be hanged, should be exterminated, should be wiped out, i hate all, i hate you, "
    "gas them, kill them all, slit your throat, i will find you, you should die"
)


class ToxicWords:
    """The list, with words of files added: an entry a line, of one word or several.

    Raises:
        BlockListError: a file is not UTF-8, or damaged.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        own = ", ".join((_INSULTS, _VULGAR, _SLURS, _THREATS)).split(",")
        listed: dict[str, tuple[tuple[str, ...], ...]] = by_first_word(own)
        for first, phrases in read_block_lists((), files).words.items():
            listed[first] = (*listed.get(first, ()), *phrases)
        self._listed: Mapping[str, tuple[tuple[str, ...], ...]] = listed

    def occur_in(self, text: str) -> bool:
        """Whether one of them stands in the text."""
        return bool(word_hits(listed_words(text.replace("\u2019", "'")), self._listed))
