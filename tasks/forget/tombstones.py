"""What a home was asked to leave out: one list, which `source` of every recipe in it goes by."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llm.corpus.forget.opt_outs import Entry, OptOutFileError, parse_entry, read_opt_outs, spelled
from llm.corpus.source.delimited import delimiter_of
from tasks.engine.identity.snapshot import root
from tasks.engine.store.store import Store

if TYPE_CHECKING:
    from tasks.engine.config import StageConfig

FILE = "forgotten.csv"
_COLUMNS = ("entry", "asked", "note")
_SOURCE = "source"


def asked_for(texts: Sequence[str]) -> list[Entry]:
    """The entries that a person names: each a URL, a domain, a doc_id, or a file of them, whose
    path starts, as all of a recipe do, at `INGOT_ROOT`.

    Raises:
        OptOutFileError: one is none of these, or a file has a wrong line.
    """
    found: list[Entry] = []
    for text in texts:
        path = root() / Path(text).expanduser()
        if "://" not in text and (delimiter_of(text) is not None or path.is_file()):
            if not path.is_file():
                raise OptOutFileError(f"{text}: there is no file {path}; correct the path")
            found += read_opt_outs(path, text)
            continue
        try:
            found.append(parse_entry(text))
        except ValueError as error:
            raise OptOutFileError(
                f"{error}, nor a file; name one, or a CSV file of them"
            ) from error
    if not found:
        said = f"{', '.join(texts)}: no" if texts else "no"
        raise OptOutFileError(
            f"{said} URL, domain or doc_id is named; name one, or a CSV file of them"
        )
    return list(dict.fromkeys(found))


def listed(store: Store) -> list[Entry]:
    """What the home's list has.

    Raises:
        OptOutFileError: somebody wrote to it what is no entry.
    """
    path = _local(store)
    return [] if path is None else read_opt_outs(path, FILE)


def add(store: Store, entries: Sequence[Entry], day: str, note: str) -> int:
    """Write entries to the home's list, those it has already left out; returns how many are new.

    Args:
        day: on which they were asked for, ISO 8601.
    """
    known = set(listed(store))
    new = [entry for entry in entries if entry not in known]
    if new:
        before = store.read(FILE) if store.exists(FILE) else b""
        store.replace(FILE, before + _rows(new, day, note, header=not before))
    return len(new)


def _rows(entries: Iterable[Entry], day: str, note: str, header: bool) -> bytes:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    if header:
        writer.writerow(_COLUMNS)
    writer.writerows((spelled(entry), day, note) for entry in entries)
    return written.getvalue().encode()


def write_list(path: Path, entries: Iterable[Entry]) -> None:
    """A list of its own, for a plan that is not to change the home's."""
    path.write_bytes(_rows(entries, "", "", header=True))


def _local(store: Store) -> Path | None:
    if not store.exists(FILE):
        return None
    return store.fetch(FILE, hashlib.sha256(store.read(FILE)).hexdigest())


def with_forgotten(configs: Mapping[str, StageConfig], store: Store) -> dict[str, StageConfig]:
    """Configs of a recipe, its `source` told of the home's list."""
    own = _local(store)
    return dict(configs) if own is None else with_list(configs, own)


def with_list(configs: Mapping[str, StageConfig], path: Path) -> dict[str, StageConfig]:
    """Configs of a recipe, its `source` told of one more list."""
    from tasks.stages.source_config import SourceConfig  # not before: a search does without

    source = configs.get(_SOURCE)
    if not isinstance(source, SourceConfig):
        return dict(configs)
    told = source.model_copy(update={"opt_outs": [*source.opt_outs, str(path)]})
    return {**configs, _SOURCE: told}
