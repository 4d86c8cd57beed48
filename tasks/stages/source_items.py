"""Which files and distributions `source` reads, as what it is told names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llm.corpus.forget.opt_outs import OptOuts, read_opt_outs
from llm.corpus.source.open import REPEATING_KINDS, UnknownKindError, kind_of
from llm.pydocs.distributions import DistributionNotFoundError, find_distribution
from tasks.engine.errors import ExternalInputError
from tasks.engine.identity.snapshot import Item, Snapshot, snapshot_files
from tasks.engine.store.artifact import Inputs
from tasks.stages.source_config import SourceConfig, SourceSpec

OPT_OUTS = "opt_outs"


def places_exist(config: SourceConfig, places: Sequence[str] | None) -> Iterator[str]:
    """What is wrong with the places of `fetch` that sources name.

    Args:
        places: those `fetch` has; `None` where the recipe lacks that stage.
    """
    for number, spec in enumerate(config.sources):
        if spec.fetched and spec.fetched not in (places or ()):
            named = (
                f"fetch.places has {', '.join(places)}"
                if places
                else "name it in fetch.places, a section of its own in the recipe"
            )
            yield f"source.sources.{number}.fetched: there is no place {spec.fetched!r}; {named}"


def externals(config: SourceConfig) -> dict[str, Snapshot]:
    """One snapshot, "files": `<source>/<relative name>` and `<source>/<distribution>==<version>`;
    a second, "opt_outs", where there are lists of pages to leave out.

    Raises:
        ExternalInputError: nothing is named, or what is named does not exist.
        OptOutFileError: see `read_opt_outs`.
    """
    if not config.sources:
        raise ExternalInputError("source.sources is empty; name at least one source in the recipe")
    items: list[Item] = []
    for spec in config.sources:
        field = f"source.sources[{spec.name}]"
        if spec.kind == "pydocs":
            items += [_distribution(spec.name, name, field) for name in spec.distributions]
        elif not spec.fetched:
            found = snapshot_files(spec.paths, f"{field}.paths", prefix=f"{spec.name}/")
            items += _of_known_kind(found.items, spec, field)
    snapshots = {"files": Snapshot(tuple(sorted(items, key=lambda item: item.name)))}
    if config.opt_outs:
        snapshots[OPT_OUTS] = snapshot_files(config.opt_outs, "source.opt_outs")
        all_opt_outs(snapshots)  # a wrong line is told now, and not by the run
    return snapshots


def all_opt_outs(external: Mapping[str, Snapshot]) -> OptOuts | None:
    """What is to be left out; `None` where there are no lists, as opposed to empty ones.

    Raises:
        OptOutFileError: see `read_opt_outs`.
    """
    listed = external.get(OPT_OUTS)
    if listed is None:
        return None
    return OptOuts(
        entry for item in listed.items for entry in read_opt_outs(Path(item.path), item.name)
    )


def _of_known_kind(items: Sequence[Item], spec: SourceSpec, field: str) -> Sequence[Item]:
    """The items, once it is sure that each is of a kind there is a reader for."""
    for item in items:
        try:
            kind_of(item.name, spec.kind)
        except UnknownKindError as error:
            raise ExternalInputError(f"{field}: {error}") from error
    return items


def origin_of(spec: SourceSpec) -> dict[str, Any]:
    """What decides how a file of a source is read: not from where."""
    return {name: value for name, value in spec.identity().items() if name != "fetched"}


def _fetched_items(spec: SourceSpec, inputs: Inputs) -> Sequence[Item]:
    """The files of a place that the stage `fetch` has a snapshot of, as items of the source.

    Raises:
        ExternalInputError: there is none, or one is of no known kind.
    """
    field = f"source.sources[{spec.name}]"
    data, folder = inputs.get("fetched"), f"{spec.fetched}/"
    parts = [part for part in data.parts if part.path.startswith(folder)] if data else []
    if data is None or not parts:
        raise ExternalInputError(
            f"{field}.fetched: fetch has no file of the place {spec.fetched!r}; "
            "`ingot removed fetch` shows what was rejected, and why"
        )
    items = [data.item(part, f"{spec.name}/{part.path.removeprefix(folder)}") for part in parts]
    return _of_known_kind(items, spec, field)


def _distribution(source: str, name: str, field: str) -> Item:
    try:
        found = find_distribution(name)
    except DistributionNotFoundError as error:
        raise ExternalInputError(f"{field}.distributions: {error}") from error
    return Item(f"{source}/{name}=={found.version}", found.size, found.digest, str(found.folder))


def all_items(config: SourceConfig, inputs: Inputs) -> list[Item]:
    """Every file and distribution, by name: those the run was planned with, and those fetched.

    Raises:
        ExternalInputError: a place that a source names was not fetched.
    """
    items = list(inputs.external["files"].items)
    for spec in config.sources:
        if spec.fetched:
            items += _fetched_items(spec, inputs)
    return sorted(items, key=lambda item: item.name)


def source_of(item: Item) -> str:
    """The source an item belongs to."""
    return item.name.partition("/")[0]


def may_repeat(item: Item, origins: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether another file of its source may hold the same capture.

    Args:
        origins: of each source, see `origin_of`.
    """
    source, _, name = item.name.partition("/")
    return kind_of(name, origins[source]["kind"]) in REPEATING_KINDS
