"""The declaration of a stage: what it reads, what it writes, how it is configured.

A stage is a value, not a class to inherit from: one module in `tasks/stages/` defines
a config, a `run(config, inputs, out)` function and one `STAGE = Stage(...)`.
Everything else (caching, resuming, planning, forms, deployments, panels) is
derived from that value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.engine.config import StageConfig
from tasks.engine.declare import Conservation, Input, Output

if TYPE_CHECKING:
    from tasks.engine.identity.snapshot import Snapshot
    from tasks.engine.out import Out
    from tasks.engine.store.artifact import Artifact, Inputs
    from tasks.panels.panels import Panel


def no_externals(config: Any) -> Mapping[str, Snapshot]:
    """The externals of a stage that reads nothing from outside the store."""
    return {}


@dataclass(frozen=True)
class Stage:
    """One stage of the chain.

    Attributes:
        name: its name in recipes, paths, the UI and on the command line.
        version: bumped by hand when the meaning of its output changes.
        config: its config class; defaults, bounds and descriptions live there.
        run: the body; reads through `inputs`, writes through `out`, returns nothing.
        externals: resolves what the config names outside the store to snapshots, at plan time.
        conservation: the law checked before publishing; `None` where the body states its own
            through `out.conserve`.
        reproducible: equal recipe means equal bytes. False for training.
        libraries: distributions whose version shapes the output; drift is shown.
        code: modules the stage reaches beyond its imports (those it launches by name).
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
    externals: Callable[[Any], Mapping[str, Snapshot]] = no_externals
    conservation: Conservation | None = None
    reproducible: bool = True
    libraries: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
