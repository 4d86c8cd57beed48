"""How the stages of a recipe hang together: order, wiring, ancestors."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from tasks.engine.config import StageConfig
from tasks.engine.errors import RecipeError
from tasks.engine.stage.stage import Stage


@dataclass(frozen=True)
class Chain:
    """The stages a recipe has, in an order in which each comes after what it reads.

    Attributes:
        stages: by name, in that order.
        wiring: for each stage, input name -> (stage, output).
    """

    stages: Mapping[str, Stage]
    wiring: Mapping[str, Mapping[str, tuple[str, str]]]

    def parents(self, name: str) -> set[str]:
        return {stage for stage, _ in self.wiring[name].values()}

    def descendants(self, names: Iterable[str]) -> set[str]:
        """The named stages and all that depends on them."""
        found = set(names)
        for name in self.stages:  # in topological order, so one pass is enough
            if self.parents(name) & found:
                found.add(name)
        return found

    def ancestors(self, name: str) -> set[str]:
        """The stage and all that it depends on."""
        found = {name}
        for stage in reversed(list(self.stages)):  # against topological order: one pass is enough
            if stage in found:
                found |= self.parents(stage)
        return found

    def require(self, names: Iterable[str], option: str) -> None:
        """Raises RecipeError if the recipe lacks one of the stages an option names."""
        for name in names:
            if name not in self.stages:
                raise RecipeError(
                    f"{option} {name}: the recipe has no such stage; it has "
                    + ", ".join(self.stages)
                )


def chain(registry: Mapping[str, Stage], configs: Mapping[str, StageConfig]) -> Chain:
    """Wire the stages a recipe has.

    Args:
        registry: every stage there is, each after the stages it may read from.
        configs: of those the recipe has.

    Raises:
        RecipeError: a stage needs an output of stages the recipe lacks.
    """
    stages = {name: stage for name, stage in registry.items() if name in configs}
    wiring: dict[str, dict[str, tuple[str, str]]] = {}
    for name, stage in stages.items():
        wiring[name] = {}
        for input_name, declared in stage.inputs.items():
            if declared.asked and not getattr(configs[name], declared.asked):
                continue
            if declared.instead and getattr(configs[name], declared.instead):
                continue
            sources = [tuple(source.split(".", 1)) for source in declared.sources]
            found = next((s for s in sources if s[0] in configs), None)
            if found is not None:
                wiring[name][input_name] = (found[0], found[1])
            elif not declared.optional:
                wanted = " or ".join(sorted({source[0] for source in sources}))
                other = f", set {name}.{declared.instead}" if declared.instead else ""
                raise RecipeError(
                    f"{name} reads {input_name} from {wanted}, which the recipe does not have; "
                    f"add a section {wanted.split(' or ')[0]!r}{other}, or remove {name!r}"
                )
        _require_one_of_each(stage, wiring[name])
    return Chain(stages, wiring)


def _require_one_of_each(stage: Stage, wired: Collection[str]) -> None:
    """Raises RecipeError if there is none of several inputs one of which must be there."""
    kinds: dict[str, list[str]] = {}
    for name, declared in stage.inputs.items():
        if declared.one_of:
            kinds.setdefault(declared.one_of, []).append(name)
    for kind, names in kinds.items():
        if not set(names) & set(wired):
            makers = [stage.inputs[name].sources[0].partition(".")[0] for name in names]
            raise RecipeError(
                f"{stage.name} reads at least one {kind}, and the recipe has none of "
                f"{', '.join(makers)}; add one of these sections, or remove {stage.name!r}"
            )
