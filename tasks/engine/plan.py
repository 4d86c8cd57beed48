"""What a run would do, and why, before it does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tasks.engine import refs
from tasks.engine.artifact import Artifact
from tasks.engine.chain import Chain
from tasks.engine.code import code_record, drift
from tasks.engine.config import StageConfig
from tasks.engine.errors import CodeDriftError, MissingInputError
from tasks.engine.execute import Order, current, damage
from tasks.engine.manifest import Manifest
from tasks.engine.store import Store


class Status(StrEnum):
    """Of a stage, seen from before the run."""

    FRESH = "fresh"
    MISSING = "missing"
    STALE = "stale"
    PENDING = "pending"
    DRIFT = "code drift"
    DAMAGED = "damaged"
    FORCED = "forced"
    GIVEN = "given"


@dataclass(frozen=True)
class Row:
    """One stage's line in the plan.

    Attributes:
        reasons: for people: fields old -> new, inputs, files.
        runs: whether its body will run; `None` = only if an input's bytes change.
        seconds, bytes: of the last artifact of this stage and recipe, as the estimate.
    """

    stage: str
    status: Status
    reasons: tuple[str, ...]
    runs: bool | None
    recipe_id: str | None
    seconds: float | None
    bytes: int | None
    artifact: Artifact | None = None


@dataclass(frozen=True)
class Selection:
    """What the user asked for.

    Attributes:
        only: build these alone; `start` : build these and all below them. What they read is
            taken as it was last built. Both empty = the whole chain.
        force: make new attempts of these although they are fresh.
        on_code_drift: warn | rerun | fail.
    """

    only: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    on_code_drift: str = "warn"

    def stages(self, chain: Chain) -> set[str]:
        """The stages that may run."""
        chain.require(self.only, "--only")
        chain.require(self.start, "--from")
        chain.require(self.force, "--force")
        if self.only:
            return set(self.only)
        if self.start:
            return chain.descendants(self.start)
        return set(chain.stages)


@dataclass
class Planner:
    """Decides stage by stage, in chain order; the run uses the same object as the plan.

    Attributes:
        name: of the recipe, under which pointers are kept.
        artifacts: what each stage resolved to so far.
    """

    chain: Chain
    configs: Mapping[str, StageConfig]
    name: str
    store: Store
    selection: Selection
    artifacts: dict[str, Artifact] = field(default_factory=dict)

    def order(self, stage: str) -> Order:
        """The order for a stage whose inputs are all resolved.

        Raises:
            MissingInputError: one is not; the message names the command that builds it.
        """
        inputs: dict[str, tuple[Artifact, str]] = {}
        for name, (parent, output) in self.chain.wiring[stage].items():
            if parent not in self.artifacts:
                raise MissingInputError(
                    f"{stage} reads {parent}.{output}, which has not been built; run "
                    f"`ingot run --recipe {self.name} --only {parent}` or the whole recipe first"
                )
            inputs[name] = (self.artifacts[parent], output)
        declared, config = self.chain.stages[stage], self.configs[stage]
        return Order(declared, config, inputs, declared.externals(config))

    def given(self, stage: str) -> Row:
        """A stage outside the selection: whatever the recipe's pointer means."""
        artifact = refs.resolve(self.store, self.name, stage)
        if artifact is not None:
            self.artifacts[stage] = artifact
        reason = "not selected; as last built" if artifact else "not selected; never built"
        return _row(stage, Status.GIVEN, (reason,), False, artifact)

    def row(self, stage: str) -> Row:
        """The line of a stage whose parents' rows have been asked for already."""
        if stage not in self.selection.stages(self.chain):
            return self.given(stage)
        before = refs.resolve(self.store, self.name, stage)
        waiting = sorted(self.chain.parents(stage) - self.artifacts.keys())
        if waiting:
            given = [p for p in waiting if p not in self.selection.stages(self.chain)]
            if given:
                self.order(stage)  # raises: a parent outside the selection was never built
            return self._blocked(stage, waiting, before)
        order = self.order(stage)
        if stage in self.selection.force:
            return _row(stage, Status.FORCED, ("asked for",), True, before, order.recipe_id)
        artifact = current(self.store, stage, order.recipe_id)
        if artifact is None:
            if before is None:
                why = ("never built",)
                return _row(stage, Status.MISSING, why, True, None, order.recipe_id)
            reasons = tuple(difference(before.manifest, order))
            return _row(stage, Status.STALE, reasons, True, before, order.recipe_id)
        broken = damage(artifact)
        if broken:
            shown = tuple(f"damaged: {path}" for path in broken[:5])
            return _row(stage, Status.DAMAGED, shown, True, artifact, order.recipe_id)
        drifted = drift(artifact.manifest.code, code_record(order.stage))
        if drifted and self.selection.on_code_drift == "fail":
            raise CodeDriftError(
                f"{stage}: code changed under version {order.stage.version}: "
                f"{', '.join(drifted)}. Raise the version if the meaning of the output changed, "
                "or choose on_code_drift warn or rerun"
            )
        if drifted and self.selection.on_code_drift == "rerun":
            return _row(stage, Status.DRIFT, tuple(drifted), True, artifact, order.recipe_id)
        self.artifacts[stage] = artifact
        status = Status.DRIFT if drifted else Status.FRESH
        return _row(stage, status, tuple(drifted), False, artifact, order.recipe_id)

    def _blocked(self, stage: str, waiting: list[str], before: Artifact | None) -> Row:
        """A stage whose inputs are not known yet: pending, or stale by its own config."""
        after = f"after {', '.join(waiting)}"
        # What it reads from outside is resolved now: a wrong path is told before hours of work.
        self.chain.stages[stage].externals(self.configs[stage])
        if before is None:
            return _row(stage, Status.MISSING, ("never built", after), True, None)
        if stage in self.selection.force:
            return _row(stage, Status.FORCED, ("asked for", after), True, before)
        own = config_difference(
            before.manifest, self.chain.stages[stage].version, self.configs[stage]
        )
        if own:
            return _row(stage, Status.STALE, (*own, after), True, before)
        return _row(stage, Status.PENDING, (f"{after}; runs only if bytes change",), None, before)

    def plan(self) -> list[Row]:
        """All rows. The planner must not have been used before."""
        return [self.row(stage) for stage in self.chain.stages]


def _row(
    stage: str,
    status: Status,
    reasons: tuple[str, ...],
    runs: bool | None,
    artifact: Artifact | None,
    recipe_id: str | None = None,
) -> Row:
    manifest = artifact.manifest if artifact else None
    return Row(
        stage,
        status,
        reasons,
        runs,
        recipe_id or (manifest.recipe_id if manifest and status is Status.GIVEN else None),
        manifest.timings.seconds if manifest else None,
        manifest.bytes if manifest else None,
        artifact,
    )


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts and lists as one level: `rules.0.minimum` -> value."""
    if isinstance(value, Mapping):
        pairs = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
        pairs = [(str(index), item) for index, item in enumerate(value)]
    else:
        return {prefix: value}
    merged: dict[str, Any] = {}
    for key, item in pairs:
        merged.update(flat(item, f"{prefix}.{key}" if prefix else key))
    return merged


def config_difference(before: Manifest, version: int, config: StageConfig) -> list[str]:
    """Fields whose identity-bearing value changed, as "field: old -> new"."""
    return [
        *(
            [f"version: {before.code.version} -> {version}"]
            if before.code.version != version
            else []
        ),
        *value_difference(before.config, config.identity()),
    ]


def value_difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Every leaf that differs between two configs."""
    old, new = flat(before), flat(after)
    missing = object()
    changes = []
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key, missing), new.get(key, missing)
        if was != now or type(was) is not type(now):
            shown = ["(absent)" if value is missing else repr(value) for value in (was, now)]
            changes.append(f"{key}: {shown[0]} -> {shown[1]}")
    return changes


def difference(before: Manifest, order: Order) -> list[str]:
    """Why an order is not what a manifest was made from."""
    reasons = config_difference(before, order.stage.version, order.config)
    records = order.records()
    for name in sorted(before.inputs.keys() | records.keys()):
        was, now = before.inputs.get(name), records.get(name)
        if was is None or now is None:
            reasons.append(f"input {name}: {'added' if was is None else 'no longer there'}")
        elif was.data_id != now.data_id:
            reasons.append(f"input {name}: {now.stage}.{now.output} changed")
    for name in sorted(before.externals.keys() | order.externals.keys()):
        old = before.externals[name].items if name in before.externals else []
        new = order.externals[name].items if name in order.externals else ()
        was_items = {item.name: item.sha256 for item in old}
        now_items = {item.name: item.sha256 for item in new}
        for label, names in (
            ("new", now_items.keys() - was_items.keys()),
            ("gone", was_items.keys() - now_items.keys()),
            ("changed", {n for n in was_items.keys() & now_items if was_items[n] != now_items[n]}),
        ):
            if names:
                shown = sorted(names)
                more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
                reasons.append(f"{name}: {label} {', '.join(shown[:3])}{more}")
    return reasons or ["never built with these inputs"]
