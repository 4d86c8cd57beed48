"""The declaration of a stage: what it reads, what it writes, how it is configured.

A stage is a value, not a class to inherit from: one module in `tasks/stages/` defines
a config, a `run(config, inputs, out)` function and one `STAGE = Stage(...)`.
Everything else (caching, resuming, planning, forms, deployments, panels) is
derived from that value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.engine.config import StageConfig
from tasks.engine.declare import Conservation, Input, Output, Requirement
from tasks.engine.identity.snapshot import Snapshot
from tasks.engine.stage.out import Out
from tasks.engine.store.artifact import Artifact, Data, Inputs
from tasks.engine.store.store import Store
from tasks.panels.panels import Panel


def no_externals(config: Any) -> Mapping[str, Snapshot]:
    """The externals of a stage that reads nothing from outside the store."""
    return {}


def no_named(config: Any, store: Store) -> Mapping[str, tuple[Artifact, str]]:
    """The named artifacts of a stage whose config names none."""
    return {}


def no_records(config: Any, store: Store) -> Mapping[str, Snapshot]:
    """The records of a stage whose config names none."""
    return {}


def nothing_foretold(
    config: Any, inputs: Sequence[str], external: Mapping[str, Snapshot]
) -> Sequence[str]:
    """Of a stage that asks nothing of others than this machine."""
    return ()


def never_looks_again(config: Any) -> bool:
    """Of a stage whose inputs are all known when it is planned."""
    return False


# Given a config, the inputs by name, the artifact and a scratch folder.
Decides = Callable[[Any, Mapping[str, Data], Artifact, Path], pa.Table]


def no_further_inputs(stages: Sequence[Stage]) -> Mapping[str, Input]:
    """The further inputs of a stage that names all it reads."""
    return {}


@dataclass(frozen=True)
class Stage:
    """One stage of the chain.

    Attributes:
        name: its name in recipes, paths, the UI and on the command line.
        version: bumped by hand when the meaning of its output changes.
        config: its config class; defaults, bounds and descriptions live there.
        run: the body; reads through `inputs`, writes through `out`, returns nothing.
        inputs_from: further inputs, made of the stages before it in the registry: for a stage that
            reads all of a kind, whichever there are.
        requires: what its config asks of the configs of other stages.
        externals: resolves what the config names outside the store to snapshots, at plan time.
        named: artifacts of the store that the config names, by the name of an input without
            sources, with the output that is read; looked up at plan time.
        records: files of the store beside its artifacts that the config names, as snapshots, at
            plan time; a stage reads them as it does externals.
        foretells: what running it takes beside time (calls that cost money) or lacks, for the plan
            to say where it will run; given its config, the names of the inputs the recipe has, and
            its external inputs.
        conservation: the law checked before publishing; `None` where the body states its own
            through `out.conserve`.
        reproducible: equal recipe means equal bytes. False for training.
        libraries: distributions whose version shapes the output; drift is shown.
        code: modules the stage reaches beyond its imports (those it launches by name).
        makes_model: what the language model in its output `model` is called beside others; "" where
            it makes none. The stages that make one stand in the registry in the order in which a
            model goes through them.
        decides: of a stage that keeps or removes rows: what it would remove by another config, rows
            of `REMOVED`, from what its inputs and the artifact (whose `removed` it is held against)
            have stored; a folder is scratch. It equals what a run removes, or raises. `None` where
            that takes a run.
        learned: whether all it makes is learned from the corpus (a vocabulary, a classifier): while
            a recipe holds the stage, new documents leave it as it was last built. Of a stage of
            which that is true of an output alone, see `Input.held`.
        looks_again: whether, by its config, it asks places that planning does not see into: then a
            scheduled refresh forces it, and its body decides what of earlier attempts is adopted.
        reported_after: the stage whose chapter comes before its own in the report; "" = the one
            before it in the registry.
        panels: what it shows of an artifact that is about to be published; kept with it.
    """

    name: str
    version: int
    description: str
    config: type[StageConfig]
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Output]
    run: Callable[[Any, Inputs, Out], None]
    panels: Callable[[Artifact], Sequence[Panel]]
    inputs_from: Callable[[Sequence[Stage]], Mapping[str, Input]] = no_further_inputs
    requires: tuple[Requirement, ...] = ()
    externals: Callable[[Any], Mapping[str, Snapshot]] = no_externals
    named: Callable[[Any, Store], Mapping[str, tuple[Artifact, str]]] = no_named
    records: Callable[[Any, Store], Mapping[str, Snapshot]] = no_records
    foretells: Callable[[Any, Sequence[str], Mapping[str, Snapshot]], Sequence[str]] = (
        nothing_foretold
    )
    decides: Decides | None = None
    learned: bool = False
    looks_again: Callable[[Any], bool] = never_looks_again
    conservation: Conservation | None = None
    reproducible: bool = True
    libraries: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    makes_model: str = ""
    reported_after: str = ""

    def outside(self, config: Any, store: Store) -> dict[str, Snapshot]:
        """All that it reads beside artifacts: externals and records, as they are now."""
        return {**self.externals(config), **self.records(config, store)}

    @property
    def held_inputs(self) -> dict[str, str]:
        """What of its own it reads again while it is held: input name -> output."""
        return {name: each.held for name, each in self.inputs.items() if each.held}

    @property
    def can_be_held(self) -> bool:
        """Whether there is something it learns from the corpus."""
        return self.learned or bool(self.held_inputs)


def registry(stages: Iterable[Stage]) -> dict[str, Stage]:
    """Stages by name, each with all its inputs.

    Args:
        stages: each after those it may read from.
    """
    found: dict[str, Stage] = {}
    for stage in stages:
        further = stage.inputs_from(tuple(found.values()))
        found[stage.name] = replace(stage, inputs={**stage.inputs, **further})
    return found
