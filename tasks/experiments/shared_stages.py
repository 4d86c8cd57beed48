"""Which stages of an experiment's runs are one and the same, before anything is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tasks.engine.config import StageConfig
from tasks.engine.identity.canonical import sha256_json
from tasks.engine.run.plan import Planner
from tasks.engine.stage.stage import Stage
from tasks.engine.store import channels
from tasks.engine.store.published import sound
from tasks.engine.store.store import Store
from tasks.experiments.definition import EVALUATE, TRAIN, EqualVariantsError, Experiment
from tasks.experiments.fixed_text import evaluation_request


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a run, seen from before all of them.

    Attributes:
        status: fresh = the store has it; served = an earlier run of the experiment makes it;
            pending = only if an input's bytes change; else it runs.
        seconds: it last took, of pretraining in proportion to its tokens; `None` = never timed.
    """

    variant: str
    seed: int
    stage: str
    status: str
    seconds: float | None


@dataclass
class Keys:
    """What stages are to be made of, as far as configs and files tell: equal keys, equal results.

    Build ids say the same once the inputs are built; these are there before.
    """

    _external: dict[str, dict[str, str]] = field(default_factory=dict)

    def of(self, plan: Planner) -> dict[str, str]:
        """The key of every stage of a run."""
        found: dict[str, str] = {}
        for name, stage in plan.chain.stages.items():
            config = plan.configs[name]
            named = stage.named(config, plan.store)
            wiring = plan.chain.wiring[name]
            found[name] = sha256_json(
                {
                    "stage": name,
                    "config": config.identity(),
                    "externals": self._files(stage, config, plan.store),
                    "named": {each: artifact.folder for each, (artifact, _) in named.items()},
                    "inputs": {
                        each: [found[parent], out] for each, (parent, out) in wiring.items()
                    },
                }
            )
        return found

    def _files(self, stage: Stage, config: StageConfig, store: Store) -> dict[str, str]:
        asked = f"{stage.name}{config.model_dump_json()}"
        if asked not in self._external:
            files = stage.outside(config, store)
            self._external[asked] = {name: files[name].data_id for name in sorted(files)}
        return self._external[asked]


def require_different(
    experiment: Experiment, keys: Mapping[tuple[str, int], Mapping[str, str]]
) -> None:
    """Make sure that no two variants are one.

    Args:
        keys: of the stages of each run, by variant and seed.

    Raises:
        EqualVariantsError: some are; names them.
    """
    alike: dict[str, list[str]] = {}
    for variant in experiment.variants:
        alike.setdefault(keys[variant.name, experiment.seeds[0]][TRAIN], []).append(variant.name)
    equal = [names for names in alike.values() if len(names) > 1]
    if equal:
        said = "; ".join(" and ".join(map(repr, names)) for names in equal)
        raise EqualVariantsError(
            f"experiment {experiment.name}: variants that train the same model: {said}. Remove all "
            "but one, or change what they differ in"
        )


def planned(
    experiment: Experiment,
    plans: Mapping[tuple[str, int], Planner],
    keys: Mapping[tuple[str, int], Mapping[str, str]],
) -> list[PlannedStage]:
    """Every stage of every run, in the order in which they run."""
    found: list[PlannedStage] = []
    made: set[str] = set()
    base = next(iter(plans.values()))
    for (variant, seed), plan in plans.items():
        for row in plan.plan():
            key = keys[variant, seed][row.stage]
            status = "fresh" if row.runs is False else "pending" if row.runs is None else "runs"
            if row.stage == EVALUATE:
                status = "fresh" if _is_measured(plan, base) else "runs"
            if status != "fresh" and key in made:
                status = "served"
            made.add(key)
            seconds = row.seconds
            if seconds is None or row.stage == EVALUATE:
                seconds = _took(plan, experiment, row.stage)
            found.append(PlannedStage(variant, seed, row.stage, status, seconds))
    return found


def _is_measured(plan: Planner, base: Planner) -> bool:
    """Whether the store has the evaluation that the experiment makes of this run."""
    if not all(plan.chain.parents(EVALUATE) <= one.artifacts.keys() for one in (plan, base)):
        return False
    request = evaluation_request(plan, base)
    return sound(plan.store, EVALUATE, request.build_id, request.config) is not None


def _took(plan: Planner, experiment: Experiment, stage: str) -> float | None:
    """As long as the recipe's own run of the stage took."""
    names = [plan.name, *(each.recipes[0].name for each in experiment.variants)]
    for name in [*names, experiment.base_name]:
        before = channels.resolve(plan.store, name, stage)
        if before is None:
            continue
        seconds = before.manifest.timings.seconds
        if stage == TRAIN:
            wanted = getattr(plan.configs[stage], "tokens", 0)
            trained = before.facts["training"]["tokens"]
            return seconds * wanted / trained if wanted else seconds
        return seconds
    return None


def totals(stages: Sequence[PlannedStage]) -> tuple[int, int, float]:
    """How many stages are served, how many run, and the seconds that these took before."""
    run = [each for each in stages if each.status in ("runs", "pending")]
    return len(stages) - len(run), len(run), sum(each.seconds or 0 for each in run)
