"""Evaluations with items of a test's own and the models behind them, through the real engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from llm.evaluation.items import ITEMS, item_table
from llm.evaluation.measure import Measure, mean
from tasks.engine.config import StageConfig
from tasks.engine.declare import Input, Output
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage, registry
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tasks.panels.panels import Panel
from tasks.stages import report
from tasks.stages.judge import JudgeConfig

Models = Mapping[str, Sequence[Measure]]
_DOCUMENTS = 120


class WeightsConfig(StageConfig):
    """Of a model that is a number."""

    number: int = 0


class MeasuredConfig(StageConfig):
    """Of an evaluation whose rows are written down: a list of rows a model, as JSON."""

    rows: str = ""
    keeps_items: bool = True


class GradedConfig(JudgeConfig):
    """Of a judging whose grades are written down, as rows are."""

    rows: str = ""


def _weights(config: WeightsConfig, inputs: Inputs, out: Out) -> None:
    (out.folder("model") / "weights.txt").write_text(str(config.number))


def _measured(config: MeasuredConfig, inputs: Inputs, out: Out) -> None:
    with out.table("scores") as scores:
        scores.write(ITEMS.empty_table())
    if config.keeps_items:
        _write_items(config.rows, out)


def _graded(config: GradedConfig, inputs: Inputs, out: Out) -> None:
    _write_items(config.rows, out)


def _write_items(rows: str, out: Out) -> None:
    with out.table("items") as writer:
        writer.write(ITEMS.empty_table())
        for model, measures in json.loads(rows).items():
            writer.write(item_table(model, [_measure(*one) for one in measures]))


def _measure(name: str, ids: list[str], values: list[float], weights: list[float]) -> Measure:
    return Measure(name, tuple(ids), np.array(values), np.array(weights))


def _no_panels(artifact: Artifact) -> list[Panel]:
    return []


_EVALUATE = Stage(
    "evaluate",
    1,
    "Of a test.",
    MeasuredConfig,
    {name: Input((f"{stage}.model",), "", optional=True)
     for name, stage in (("base", "pretrain"), ("sft", "sft"))},
    {"scores": Output("", ITEMS), "items": Output("", ITEMS)},
    _measured,
    _no_panels,
)  # fmt: skip
_MAKERS = tuple(
    Stage(
        name,
        1,
        "",
        WeightsConfig,
        {},
        {"model": Output("")},
        _weights,
        _no_panels,
        makes_model=name,
    )
    for name in ("pretrain", "sft")
)
_OLD = Stage(
    "evaluate", 1, "", MeasuredConfig, {}, {"scores": Output("", ITEMS)}, _measured, _no_panels
)
_JUDGE = Stage(
    "judge",
    2,
    "",
    GradedConfig,
    _EVALUATE.inputs,
    {"items": Output("", ITEMS)},
    _graded,
    _no_panels,
)
STAGES = registry((*_MAKERS, _EVALUATE, _JUDGE, report.STAGE))


def bits(change: float, seed: int = 0, noise: float = 0.05, n: int = _DOCUMENTS) -> Measure:
    """Bits and bytes of documents as hard for every model, less or more by `change` a byte."""
    sizes = np.random.default_rng(1).integers(200, 2000, n).astype(float)
    hard = np.random.default_rng(2).normal(2, 0.4, n)
    own = np.random.default_rng(seed + 3).normal(change, noise, n)
    ids = tuple(f"{number:032x}" for number in range(n))
    return Measure("bits_per_byte", ids, sizes * (hard + own), sizes)


def right(share: float, n: int = 200) -> Measure:
    """Questions of which the first `share` are answered."""
    ids = tuple(f"arc:{number}" for number in range(n))
    return mean("arc_easy", ids, (np.arange(n) < share * n).astype(float))


def length(tokens: float, n: int = 20) -> Measure:
    """Answers of about so many tokens."""
    ids = tuple(f"prompt:{number}" for number in range(n))
    return mean("generated_tokens", ids, tokens + np.arange(n) % 5)


def evaluated(home: Path, recipe: str, models: Models, **numbers: int) -> dict[str, Artifact]:
    """Publish an evaluation as what the recipe built last, of models that are numbers."""
    return _of_models(home, recipe, numbers, evaluate=MeasuredConfig(rows=_rows(models)))


def graded(
    home: Path, recipe: str, models: Models, judge: str = "strict", **numbers: int
) -> dict[str, Artifact]:
    """Publish a judging of models that are numbers."""
    config = GradedConfig(model=judge, rows=_rows(models))
    return _of_models(home, recipe, numbers, judge=config)


def _of_models(
    home: Path, recipe: str, numbers: Mapping[str, int], **others: StageConfig
) -> dict[str, Artifact]:
    makers = {stage: WeightsConfig(number=numbers.get(stage, 0)) for stage in ("pretrain", "sft")}
    return _built(home, recipe, STAGES, {**makers, **others})


def _rows(models: Models) -> str:
    rows = {
        name: [
            (one.metric, one.ids, one.numerators.tolist(), one.denominators.tolist())
            for one in measures
        ]
        for name, measures in models.items()
    }
    return json.dumps(rows)


def reported(home: Path, recipe: str, models: Models, champion: str) -> dict[str, Artifact]:
    """The same, with a report that holds it against a champion."""
    done = evaluated(home, recipe, models)
    config = MeasuredConfig.model_validate(done["evaluate"].manifest.config)
    configs: dict[str, StageConfig] = {
        "pretrain": WeightsConfig(),
        "sft": WeightsConfig(),
        "evaluate": config,
        "report": report.ReportConfig(champion=champion),
    }
    return _built(home, recipe, STAGES, configs)


def without_items(home: Path, recipe: str) -> Artifact:
    """An evaluation as an earlier version published it."""
    configs: dict[str, StageConfig] = {"evaluate": MeasuredConfig(keeps_items=False)}
    return _built(home, recipe, registry((_OLD,)), configs)["evaluate"]


def _built(
    home: Path, recipe: str, stages: Mapping[str, Stage], configs: Mapping[str, StageConfig]
) -> dict[str, Artifact]:
    planner = Planner(chain(stages, configs), configs, recipe, Store(str(home)), Selection())
    return {name: done.artifact for name, done in build(planner).items()}
