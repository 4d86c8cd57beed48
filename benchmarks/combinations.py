"""What trainings of several seeds say: each combination with its mean and spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from benchmarks.short_runs import Outcome, mean_and_spread
from llm.training.run_file import Optimiser


def grid_rows(outcomes: Mapping[tuple[Any, ...], Outcome]) -> list[dict[str, Any]]:
    """A row a combination, at its best rate; the lowest first."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for key in dict.fromkeys(key[:4] for key in outcomes):
        held = [outcome for each, outcome in outcomes.items() if each[:4] == key]
        mean, spread = mean_and_spread([each.bits_per_byte for each in held])
        row = {
            "name": " ".join(key[:3]),
            "optimiser": key[0],
            "learning_rate": key[3],
            "bits_per_byte": mean,
            "spread": spread,
            "tokens_per_second": round(sum(each.tokens_per_second for each in held) / len(held)),
        }
        if key[:3] not in found or mean < found[key[:3]]["bits_per_byte"]:
            found[key[:3]] = row
    return sorted(found.values(), key=lambda row: row["bits_per_byte"])


def muon_gain(rows: Sequence[Mapping[str, Any]]) -> float:
    """Of the best rows of each optimiser, what Muon's is lower by, as a share of AdamW's."""
    best = {
        name: min(row["bits_per_byte"] for row in rows if row["optimiser"] == name)
        for name in get_args(Optimiser)
    }
    return float((best["adamw"] - best["muon"]) / best["adamw"])


def choice_rows(outcomes: Mapping[tuple[Any, ...], Outcome]) -> list[dict[str, Any]]:
    """A row a choice, with what each seed loses or gains by it on average."""
    names = list(dict.fromkeys(name for name, _ in outcomes))
    bits = {
        name: [outcome.bits_per_byte for key, outcome in outcomes.items() if key[0] == name]
        for name in names
    }
    rows = []
    for name in names:
        mean, spread = mean_and_spread(bits[name])
        differences = [one - plain for one, plain in zip(bits[name], bits[names[0]], strict=True)]
        difference, uncertain = mean_and_spread(differences)
        rows.append(
            {
                "name": f"choice {name}",
                "bits_per_byte": mean,
                "spread": spread,
                "difference": difference,
                "difference_spread": uncertain,
            }
        )
    return rows
