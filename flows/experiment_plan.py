"""From the file of an experiment to a planner for each of its runs; nothing of Prefect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flows.home import open_store
from flows.planning import planner_for
from tasks.engine.identity.snapshot import root
from tasks.engine.run.plan import Planner
from tasks.experiments.definition import BASE, EVALUATE, Experiment, read_experiment
from tasks.experiments.shared_stages import Keys, PlannedStage, planned, require_different


@dataclass(frozen=True)
class Question:
    """What is run.

    Attributes:
        plans: of each run up to its model, by variant and seed, in the order in which they run.
        keys: of their stages.
    """

    experiment: Experiment
    plans: Mapping[tuple[str, int], Planner]
    keys: Mapping[tuple[str, int], Mapping[str, str]]

    @property
    def base(self) -> Planner:
        """Whose validation text all are measured on."""
        return self.plans[BASE, self.experiment.seeds[0]]


def question(file: str) -> Question:
    """An experiment and the plans of its runs, nothing of them built.

    Raises:
        ExperimentError, ExternalInputError, RecipeError: see `read_experiment`; or two variants
            are equal.
    """
    found = read_experiment(root() / Path(file).expanduser())
    store = open_store()
    plans = {}
    for variant in found.variants:
        for seed, recipe in zip(found.seeds, variant.recipes, strict=True):
            stages = [stage for stage in recipe.configs if stage != EVALUATE]
            where = f"{file}: {variant.name}"
            plans[variant.name, seed] = planner_for(recipe, where, store, only=stages)
    keys, kept = Keys(), {}
    for run, plan in plans.items():
        kept[run] = keys.of(plan)
    require_different(found, kept)
    return Question(found, plans, kept)


def stages_of(asked: Question) -> list[PlannedStage]:
    """Every stage of every run, and whether it will run."""
    return planned(asked.experiment, asked.plans, asked.keys)
