"""Taking pages out: what is asked for, what it comes to, and which stages are to be rebuilt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from llm.corpus.forget.opt_outs import DOC_ID, Entry, OptOuts
from tasks.engine.errors import IngotError
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.forget import tombstones
from tasks.forget.certificate import Certificate, certify, keep, near_duplicates
from tasks.forget.holders import Held, held
from tasks.forget.texts import in_force, removed_texts
from tasks.forget.words import document

if TYPE_CHECKING:
    from tasks.engine.run.chain import Chain

# What models are trained on comes out of these, and an index has the texts themselves.
_DATA = ("pack", "examples", "index")
# What to do where nothing is found.
TRY_TRACE = "look at what `ingot trace` makes of it"


class NothingToForgetError(IngotError):
    """Nothing that is asked for is in the home."""


@dataclass(frozen=True)
class Removal:
    """What is to be taken out.

    Attributes:
        near: documents that are taken out because they are mostly words of the others: doc_id,
            URL, share of their bytes.
        texts: of the pages, by doc_id.
    """

    entries: tuple[Entry, ...]
    held: Held
    near: tuple[tuple[str, str | None, float], ...]
    texts: Mapping[str, str]


def look_up(store: Store, recipe: str, asked: Sequence[str], near: bool, texts: bool) -> Removal:
    """What a home has of what is asked for.

    Args:
        asked: URLs, domains, doc_ids, and files of them.
        near: documents of the recipe that are mostly the same words go too.
        texts: read the texts, which a certificate needs.

    Raises:
        OptOutFileError: of the asked.
        NothingToForgetError: the home has none of it, and `near` or `texts` is wanted.
    """
    entries = tombstones.asked_for(asked)
    found = held(store, OptOuts(entries))
    if not (near or texts):
        return Removal(tuple(entries), found, (), {})
    if not found.pages:
        raise NothingToForgetError(
            f"{store.url} has no page of {', '.join(asked)}; {TRY_TRACE}, or name it in a file of "
            "source.opt_outs for pages that are still to come"
        )
    known = removed_texts(found)
    alike: list[tuple[str, str | None, float]] = []
    if near:
        alike = near_duplicates(in_force(store, recipe), known)
        entries += [Entry(DOC_ID, doc_id) for doc_id, _, _ in alike]
        found = held(store, OptOuts(entries))
        known = removed_texts(found)
    return Removal(tuple(entries), found, tuple(alike), known)


def data_stages(chain: Chain) -> list[str]:
    """The stages of a recipe from its pages to what models are trained on; none of a model."""
    wanted = {name for end in _DATA if end in chain.stages for name in chain.ancestors(end)}
    models = {name for name, stage in chain.stages.items() if stage.makes_model}
    if not wanted:  # a recipe of data alone
        wanted = {name for name in chain.stages if not models & chain.ancestors(name)}
    return [name for name in chain.stages if name in wanted and name not in models]


def write_tombstones(store: Store, removal: Removal, note: str) -> int:
    """Add what is taken out to the home's list; returns how many entries are new."""
    return tombstones.add(store, removal.entries, f"{datetime.now(UTC):%Y-%m-%d}", note)


def issue(
    store: Store, recipe: str, removal: Removal, rebuilt: Iterable[Artifact]
) -> tuple[Certificate, str]:
    """Check what a recipe has in force after the rebuild; the certificate, and where it lies."""
    made = certify(
        store,
        recipe,
        removal.entries,
        removal.held,
        removal.texts,
        in_force(store, recipe),
        rebuilt,
        datetime.now(UTC),
    )
    return made, keep(store, made, document(made))
