"""What a run would do, and why, before it does it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from tasks.engine.config import StageConfig
from tasks.engine.errors import CodeDriftError, IngotError, MissingInputError
from tasks.engine.run.chain import Chain
from tasks.engine.run.code import code_record, drift
from tasks.engine.run.difference import (
    config_difference,
    difference,
    external_difference,
    input_difference,
    settings,
)
from tasks.engine.run.execute import BuildRequest
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import current, damage, failed_shards
from tasks.engine.store.store import Store


class Status(StrEnum):
    """Of a stage, seen from before the run."""

    FRESH = "fresh"
    MISSING = "missing"
    STALE = "stale"
    PENDING = "pending"
    DRIFT = "code drift"
    DAMAGED = "damaged"
    FORCED = "forced"
    HELD = "held"
    UNSELECTED = "not selected"


@dataclass(frozen=True)
class Row:
    """One stage's line in the plan.

    Attributes:
        reasons: for people: fields old -> new, inputs, files.
        runs: whether its body will run; `None` = only if an input's bytes change.
        seconds, bytes: of the last artifact of this stage and recipe, as the estimate.
        served: the artifact is in force although a request would not find it, because the recipe
            holds the stage.
    """

    stage: str
    status: Status
    reasons: tuple[str, ...]
    runs: bool | None
    build_id: str | None
    seconds: float | None
    bytes: int | None
    artifact: Artifact | None = None
    served: bool = False


class SelectionError(IngotError):
    """The stages asked for contradict each other."""


@dataclass(frozen=True)
class Selection:
    """What the user asked for.

    Attributes:
        only: build these alone; `start` : build these and all below them. What they read is
            taken as it was last built. Both empty = the whole chain.
        force: make new attempts of these although they are fresh.
        on_code_drift: warn | rerun | fail.
        hold: what these learned from the corpus stays as it is, whatever is new (`Stage.learned`,
            `Input.held`), until they are forced, or asked for by name.
    """

    only: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    on_code_drift: str = "warn"
    hold: tuple[str, ...] = ()

    @property
    def same_code(self) -> bool:
        """Whether shards that other code built are left alone."""
        return self.on_code_drift != "warn"

    def stages(self, chain: Chain) -> set[str]:
        """The stages that may run.

        Raises:
            SelectionError: what is asked for contradicts itself.
        """
        chain.require(self.only, "--only")
        chain.require(self.start, "--from")
        chain.require(self.force, "--force")
        if self.only and self.start:
            raise SelectionError("--only and --from exclude each other; choose one")
        chosen = set(chain.stages)
        if self.only:
            chosen = set(self.only)
        elif self.start:
            chosen = chain.descendants(self.start)
        beyond = [stage for stage in self.force if stage not in chosen]
        if beyond:
            raise SelectionError(
                f"--force {beyond[0]}: it is not among the stages selected; add it to --only, "
                "or drop --only and --from"
            )
        return chosen


@dataclass
class Planner:
    """Decides stage by stage, in chain order; the run uses the same object as the plan.

    Attributes:
        name: of the recipe, under which pointers are kept.
        source: what the recipe was loaded by, for messages; "" = its name.
        pinned: attempts to read where the recipe's latest would be, by stage.
        changed: fields, as JSON values, that are not what the recipe says, by stage.
        artifacts: what each stage resolved to so far.
        planned: the rows of `plan`, once it was asked for.
    """

    chain: Chain
    configs: Mapping[str, StageConfig]
    name: str
    store: Store
    selection: Selection
    source: str = ""
    pinned: Mapping[str, Artifact] = field(default_factory=dict)
    changed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    planned: dict[str, Row] = field(default_factory=dict)

    def request(self, stage: str) -> BuildRequest:
        """The request for a stage whose inputs are all resolved.

        Raises:
            MissingInputError: one is not; the message names the command that builds it.
        """
        inputs: dict[str, tuple[Artifact, str]] = {}
        for name, (parent, output) in self.chain.wiring[stage].items():
            if parent not in self.artifacts:
                raise MissingInputError(
                    f"{stage} reads {parent}.{output}, which has not been built; run `ingot run "
                    f"--recipe {self.source or self.name} --only {parent}`, or the whole recipe, "
                    "first"
                )
            inputs[name] = (self.artifacts[parent], output)
        declared, config = self.chain.stages[stage], self.configs[stage]
        inputs |= declared.named(config, self.store)
        request = BuildRequest(declared, config, inputs, declared.outside(config, self.store))
        held = self._held(stage)
        if held is None or current(self.store, stage, request.build_id):
            return request
        own = {
            name: (held, output)
            for name, output in declared.held_inputs.items()
            if output in held.manifest.outputs
        }
        return replace(request, inputs={**inputs, **own})

    def _held(self, stage: str) -> Artifact | None:
        """What a held stage was last built to; `None` where it is not held, or was never built."""
        selection = self.selection
        if stage not in selection.hold or stage in selection.force:
            return None
        named = stage in (*selection.only, *selection.start)
        if named and self.chain.stages[stage].learned:
            return None
        return channels.resolve(self.store, self.name, stage)

    def unselected(self, stage: str) -> Row:
        """A stage outside the selection: the pinned attempt, else the recipe's pointer."""
        pinned = self.pinned.get(stage)
        artifact = pinned or channels.resolve(self.store, self.name, stage)
        if artifact is None:
            return _row(stage, Status.UNSELECTED, ("never built",), False, None)
        self.artifacts[stage] = artifact
        which = f"attempt {pinned.manifest.attempt} as asked" if pinned else "as last built"
        once = {} if pinned else channels.changed_fields(self.store, self.name, stage)
        if once:
            which += f", with {', '.join(settings(stage, once))} for that run"
        return _row(stage, Status.UNSELECTED, (which,), False, artifact)

    def row(self, stage: str) -> Row:
        """The line of a stage whose parents' rows have been asked for already."""
        row = self._row(stage)
        if row.status is not Status.UNSELECTED:
            row = replace(row, reasons=(*row.reasons, *self._given_up(stage)))
        if row.runs is False:
            return row
        declared, config = self.chain.stages[stage], self.configs[stage]
        told = declared.foretells(
            config, tuple(self.chain.wiring[stage]), declared.outside(config, self.store)
        )
        return replace(row, reasons=(*row.reasons, *told))

    def _given_up(self, stage: str) -> list[str]:
        """What the last run changed for itself and this one does not, and how to keep it."""
        last = channels.changed_fields(self.store, self.name, stage)
        if not last:
            return []
        now = self.configs[stage].model_dump(mode="json")
        gone = {name: value for name, value in last.items() if now.get(name) != value}
        if not gone or stage in self.changed:
            return []
        source = self.source or self.name
        options = " ".join(f"--set {shlex.quote(text)}" for text in settings(stage, gone))
        return [
            f"the last run had {', '.join(settings(stage, gone))} for itself; the recipe's own "
            f"value is in force. To keep the other: ingot run --recipe {source} {options} "
            "--save-as NAME, or save_as in the form"
        ]

    def _row(self, stage: str) -> Row:
        if stage not in self.selection.stages(self.chain):
            return self.unselected(stage)
        before = channels.resolve(self.store, self.name, stage)
        kept = self._kept_row(stage)
        if kept is not None:
            return kept
        waiting = sorted(self.chain.parents(stage) - self.artifacts.keys())
        if waiting:
            unselected = [p for p in waiting if p not in self.selection.stages(self.chain)]
            if unselected:
                self.request(stage)  # raises: a parent outside the selection was never built
            return self._blocked_row(stage, waiting, before)
        request = self.request(stage)
        if stage in self.selection.force:
            return _row(stage, Status.FORCED, ("asked for",), True, before, request.build_id)
        artifact = current(self.store, stage, request.build_id)
        served = artifact is None and _went_on(request, before)
        if served:
            artifact = before
        if artifact is None:
            if before is None:
                why = ("never built",)
                return _row(stage, Status.MISSING, why, True, None, request.build_id)
            reasons = tuple(difference(before, request))
            return _row(stage, Status.STALE, reasons, True, before, request.build_id)
        broken = _broken(artifact, request.config)
        if broken:
            return _row(stage, Status.DAMAGED, broken, True, artifact, request.build_id)
        drifted = drift(artifact.manifest.code, code_record(request.stage, commits=False))
        if drifted and self.selection.on_code_drift == "fail":
            raise CodeDriftError(
                f"{stage}: code changed under version {request.stage.version}: "
                f"{', '.join(drifted)}. Raise the version if the meaning of the output changed, "
                "or choose on_code_drift warn or rerun"
            )
        if drifted and self.selection.on_code_drift == "rerun":
            return _row(stage, Status.DRIFT, tuple(drifted), True, artifact, request.build_id)
        self.artifacts[stage] = artifact
        status = Status.DRIFT if drifted else Status.FRESH
        row = _row(stage, status, tuple(drifted), False, artifact, artifact.manifest.build_id)
        return replace(row, served=served)

    def _kept_row(self, stage: str) -> Row | None:
        """A stage that is held as a whole, unless its own settings or files changed since."""
        held, declared = self._held(stage), self.chain.stages[stage]
        if held is None or not declared.learned:
            return None
        config, manifest = self.configs[stage], held.manifest
        changed = [
            *config_difference(manifest, declared.version, config),
            *external_difference(held, declared.outside(config, self.store)),
        ]
        drifted = drift(manifest.code, code_record(declared, commits=False))
        if (
            changed
            or _broken(held, config)
            or (drifted and self.selection.on_code_drift != "warn")
            or self._is_fresh(stage)
        ):
            return None
        self.artifacts[stage] = held
        why = f"held as of {manifest.timings.started[:10]}; --force {stage} learns it anew"
        row = _row(stage, Status.HELD, (why, *drifted), False, held, manifest.build_id)
        return replace(row, served=True)

    def _is_fresh(self, stage: str) -> bool:
        """Whether what it would learn from is what it learned from."""
        if self.chain.parents(stage) - self.artifacts.keys():
            return False
        return current(self.store, stage, self.request(stage).build_id) is not None

    def _blocked_row(self, stage: str, waiting: list[str], before: Artifact | None) -> Row:
        """A stage of which some inputs are not known yet: pending, unless it will run anyhow."""
        after = f"after {', '.join(waiting)}"
        declared, config = self.chain.stages[stage], self.configs[stage]
        # What it reads from outside is resolved now: a wrong path is told before hours of work.
        externals, named = declared.outside(config, self.store), declared.named(config, self.store)
        if before is None:
            return _row(stage, Status.MISSING, ("never built", after), True, None)
        if stage in self.selection.force:
            return _row(stage, Status.FORCED, ("asked for", after), True, before)
        wiring = self.chain.wiring[stage]
        known = {
            name: self.artifacts[parent].as_input(output, declared.inputs[name].whole)
            for name, (parent, output) in wiring.items()
            if parent in self.artifacts
        }
        for name, (artifact, output) in named.items():
            known[name] = artifact.as_input(output, declared.inputs[name].whole)
        if self._held(stage) is not None:
            known |= {n: r for n, r in before.manifest.inputs.items() if n in declared.held_inputs}
        unknown = {name: before.manifest.inputs.get(name) for name in wiring.keys() - known.keys()}
        own = [
            *config_difference(before.manifest, declared.version, config),
            *input_difference(before.manifest.inputs, {**unknown, **known}),
            *external_difference(before, externals),
        ]
        if own:
            return _row(stage, Status.STALE, (*own, after), True, before)
        broken = _broken(before, config)
        if broken:
            return _row(stage, Status.DAMAGED, (*broken, after), True, before)
        if self.selection.on_code_drift == "rerun":
            drifted = drift(before.manifest.code, code_record(declared, commits=False))
            if drifted:
                return _row(stage, Status.DRIFT, (*drifted, after), True, before)
        return _row(stage, Status.PENDING, (f"{after}; runs only if bytes change",), None, before)

    def plan(self) -> list[Row]:
        """All rows, as they were when first asked for. Nothing may have been built before."""
        if not self.planned:
            self.planned = {stage: self.row(stage) for stage in self.chain.stages}
        return list(self.planned.values())

    def row_in_run(self, stage: str) -> Row:
        """The line of a stage whose parents are up to date by now.

        What was not to run stays so if its parents are what they were; all else is looked at with
        the inputs there are now.
        """
        planned = self.planned.get(stage)
        if planned is None or planned.runs is not False or self._has_changed(stage):
            return self.row(stage)
        return planned

    def _has_changed(self, stage: str) -> bool:
        """Whether a parent was built again since the plan."""
        return any(
            (before := self.planned[parent].artifact) is None
            or before.folder != self.artifacts[parent].folder
            for parent in self.chain.parents(stage)
            if parent in self.artifacts
        )


def _went_on(request: BuildRequest, before: Artifact | None) -> bool:
    """Whether a stage that goes on from its last artifact was built from just these inputs: since
    then that is the last one itself, and there is nothing to go on with."""
    own = request.stage.held_inputs
    if before is None or not own.keys() & request.inputs.keys():
        return False
    was = {name: record for name, record in before.manifest.inputs.items() if name in own}
    now = {name: record for name, record in request.records().items() if name not in own}
    return before.manifest.build_id == request.build_id_of({**now, **was})


def _broken(artifact: Artifact, config: StageConfig) -> tuple[str, ...]:
    """Why an artifact cannot be served although its recipe is the one wanted."""
    failed = [f"built without shard {name}" for name in failed_shards(artifact, config)]
    return tuple([*(f"damaged: {path}" for path in damage(artifact)), *failed][:5])


def _row(
    stage: str,
    status: Status,
    reasons: tuple[str, ...],
    runs: bool | None,
    artifact: Artifact | None,
    build_id: str | None = None,
) -> Row:
    manifest = artifact.manifest if artifact else None
    return Row(
        stage,
        status,
        reasons,
        runs,
        build_id or (manifest.build_id if manifest and status is Status.UNSELECTED else None),
        manifest.timings.seconds if manifest else None,
        manifest.bytes if manifest else None,
        artifact,
    )
