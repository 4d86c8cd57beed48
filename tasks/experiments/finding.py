"""What is kept of an experiment that is over, and what each of its variants does without."""

from __future__ import annotations

from tasks.experiments.definition import Experiment, label_of
from tasks.findings.record import Finding
from tasks.findings.result import Removal, Result
from tasks.recipe import Recipe


def finding(experiment: Experiment, found: Result) -> Finding:
    """The experiment with what it came to."""
    base, *others = experiment.variants
    without = {each.name: removal_of(base.recipes[0], each.recipes[0]) for each in others}
    configs = {
        each.name: {
            stage: config.identity() for stage, config in sorted(each.recipes[0].configs.items())
        }
        for each in experiment.variants
    }
    removals = {name: removal for name, removal in without.items() if removal is not None}
    return Finding(experiment.base_name, found, configs, removals)


def removal_of(base: Recipe, variant: Recipe) -> Removal | None:
    """What the base removes and the variant does not, where that is all they differ in."""
    missing = base.configs.keys() - variant.configs.keys()
    differing = {
        stage
        for stage in base.configs.keys() & variant.configs.keys()
        if base.configs[stage].identity() != variant.configs[stage].identity()
    }
    if variant.configs.keys() - base.configs.keys() or len(missing | differing) != 1:
        return None
    [stage] = missing | differing
    if stage in missing:
        return Removal(stage, "")
    one, other = base.configs[stage], variant.configs[stage]
    fields = [name for name in type(one).model_fields if getattr(one, name) != getattr(other, name)]
    before, after = (getattr(each, fields[0]) for each in (one, other))
    if len(fields) != 1 or not isinstance(before, list) or len(after) != len(before) - 1:
        return None
    gone = [
        place for place in range(len(before)) if [*before[:place], *before[place + 1 :]] == after
    ]
    return Removal(stage, label_of(before[gone[0]], gone[0])) if gone else None
