"""What an experiment found: for programs, and kept in the store for later questions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from llm.evaluation.bootstrap import Estimate
from llm.evaluation.measure import BITS_PER_BYTE
from tasks.engine.store.store import Store
from tasks.experiments.definition import Experiment
from tasks.experiments.worth import Result

_FOLDER = "experiments"
_VERSION = 1


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


def keep(store: Store, experiment: Experiment, found: Result) -> None:
    """Write down what was found; the last run of an experiment is the one that counts."""
    configs = {
        each.name: {
            stage: config.identity() for stage, config in sorted(each.recipes[0].configs.items())
        }
        for each in experiment.variants
    }
    record = {
        "version": _VERSION,
        "recipe": experiment.base_name,
        **as_record(found),
        "configs": configs,
    }
    written = json.dumps(record, indent=1, allow_nan=False).encode()
    store.replace(f"{_FOLDER}/{experiment.name}.json", written)


def measured(store: Store, recipe: str) -> Iterator[Measured]:
    """The variants of a recipe that experiments have measured, other than their bases."""
    for path in store.files(_FOLDER):
        record = store.read_json(path)
        if record is None or record["version"] != _VERSION or record["recipe"] != recipe:
            continue
        base, *variants = record["variants"]
        for variant in variants:
            gain = next((g for g in variant["gains"] if g["metric"] == BITS_PER_BYTE), None)
            if gain is not None:
                yield Measured(
                    record["name"],
                    variant["variant"],
                    record["configs"][base["variant"]],
                    record["configs"][variant["variant"]],
                    Estimate(**gain["change"]),
                    gain["verdict"],
                )
