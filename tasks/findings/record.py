"""What an experiment found: for programs, and kept in the store for later questions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import Any

from llm.evaluation.bootstrap import Estimate
from llm.evaluation.differences.differences import Difference
from tasks.engine.errors import ExternalInputError, StoreError
from tasks.engine.identity.snapshot import Item, Snapshot
from tasks.engine.store.store import Store
from tasks.findings.result import Gain, Removal, Result, Worth

_FOLDER, _SUFFIX = "experiments", ".json"
_VERSION = 2


@dataclass(frozen=True)
class Finding:
    """An experiment that is over.

    Attributes:
        recipe: name of its base.
        configs: by variant, what identifies each stage, by stage.
        removals: by variant, what it does without, where that is all it changes.
    """

    recipe: str
    result: Result
    configs: Mapping[str, Mapping[str, Mapping[str, Any]]]
    removals: Mapping[str, Removal]

    @property
    def base(self) -> Mapping[str, Mapping[str, Any]]:
        """What identifies each stage of the base."""
        return self.configs[self.result.variants[0].variant]


@dataclass(frozen=True)
class Measured:
    """A variant of an experiment that is over.

    Attributes:
        configs: what identifies each stage, by stage; `base`: the same of the base.
        change: of bits per byte from the base to it.
    """

    experiment: str
    variant: str
    base: Mapping[str, Mapping[str, Any]]
    configs: Mapping[str, Mapping[str, Any]]
    change: Estimate
    verdict: str


def as_record(found: Result) -> dict[str, Any]:
    """The experiment for programs: JSON-able."""
    return {
        "name": found.name,
        "seeds": list(found.seeds),
        "items": found.items,
        "left_out": found.left_out,
        "variants": [
            {
                "variant": each.variant,
                "documents": each.documents,
                "tokens": each.tokens,
                "bits_per_byte": each.bits_per_byte,
                "same_model": each.same,
                "refused": list(each.refused),
                "gains": [
                    {
                        **asdict(gain.difference),
                        "verdict": gain.difference.verdict,
                        "significant": gain.difference.is_significant,
                        "by_seed": list(gain.by_seed),
                        "between_seeds": gain.between_seeds,
                    }
                    for gain in each.gains
                ],
            }
            for each in found.variants
        ],
    }


def keep(store: Store, found: Finding) -> None:
    """Write down what was found; the last run of an experiment is the one that counts."""
    record = {
        "version": _VERSION,
        "recipe": found.recipe,
        **as_record(found.result),
        "configs": found.configs,
        "removals": {name: asdict(removal) for name, removal in found.removals.items()},
    }
    written = json.dumps(record, indent=1, allow_nan=False).encode()
    store.replace(_path(found.result.name), written)


def kept(store: Store, name: str) -> Finding | None:
    """What the last run of an experiment found; `None` where it has not run.

    Raises:
        StoreError: the file is damaged.
    """
    return _read(store, _path(name))


def measured(store: Store, recipe: str) -> Iterator[Measured]:
    """The variants of a recipe that experiments have measured, other than their bases.

    Raises:
        StoreError: a file is damaged.
    """
    # Beside the records stand those that are being written, under names of their own.
    for path in (path for path in store.files(_FOLDER) if path.endswith(_SUFFIX)):
        found = _read(store, path)
        if found is None or found.recipe != recipe:
            continue
        for each in found.result.variants[1:]:
            if each.gain is not None:
                difference, configs = each.gain.difference, found.configs[each.variant]
                yield Measured(
                    found.result.name,
                    each.variant,
                    found.base,
                    configs,
                    difference.change,
                    difference.verdict,
                )


def record_file(store: Store, name: str) -> Snapshot | None:
    """The file of an experiment as an input; `None` where it has not run.

    Raises:
        StoreError: the file is damaged.
    """
    if kept(store, name) is None:
        return None
    path = _path(name)
    data = store.read(path)
    return Snapshot(
        [Item(f"{name}{_SUFFIX}", len(data), sha256(data).hexdigest(), path, stored=True)]
    )


def read_item(store: Store, item: Item) -> Finding:
    """What such a file holds.

    Raises:
        ExternalInputError: the experiment has run again since it was looked up, or the file is
            gone.
    """
    try:
        data = store.read(item.path)
    except FileNotFoundError:
        data = b""
    if sha256(data).hexdigest() != item.sha256:
        raise ExternalInputError(
            f"{store.full(item.path)}: the experiment ran again meanwhile, or its record was "
            "removed; run again"
        )
    found = _finding(json.loads(data))
    assert found is not None, "it was read when it was looked up"
    return found


def _path(name: str) -> str:
    return f"{_FOLDER}/{name}{_SUFFIX}"


def _read(store: Store, path: str) -> Finding | None:
    record = store.read_json(path)
    try:
        return _finding(record)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise StoreError(
            f"{store.full(path)} is no record of an experiment ({error!r}); remove it, and "
            "`ingot experiment` writes it again"
        ) from error


def _finding(record: Any) -> Finding | None:
    """Of a record as `keep` wrote it; `None` of none, and of one in another version's words."""
    if record is None or record["version"] != _VERSION:
        return None
    variants = tuple(_worth(each) for each in record["variants"])
    counts = (record["items"], record["left_out"])
    result = Result(record["name"], tuple(record["seeds"]), variants, *counts)
    removals = {name: Removal(**removal) for name, removal in record["removals"].items()}
    found = Finding(record["recipe"], result, record["configs"], removals)
    names = [each.variant for each in variants]
    if not names or found.configs.keys() != set(names) or not removals.keys() <= set(names[1:]):
        raise KeyError("variants")
    return found


def _worth(record: Mapping[str, Any]) -> Worth:
    counts = (record["documents"], record["tokens"], record["bits_per_byte"])
    gains = tuple(_gain(each) for each in record["gains"])
    return Worth(record["variant"], *counts, gains, record["same_model"], tuple(record["refused"]))


def _gain(record: Mapping[str, Any]) -> Gain:
    own = {each.name: record[each.name] for each in fields(Difference)}
    difference = Difference(**{**own, "change": Estimate(**record["change"])})
    return Gain(difference, tuple(record["by_seed"]))
