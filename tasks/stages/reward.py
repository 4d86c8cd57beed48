"""reward: a model that tells of two answers which is better, by a number each."""

from __future__ import annotations

from dataclasses import asdict

import pyarrow as pa
from pydantic import Field

from llm.evaluation.bootstrap import Estimate
from llm.evaluation.reward_quality import RewardQuality, reward_quality
from llm.tables import PREFERENCE_ROWS, REWARD_PAIRS, VALIDATION
from tasks.engine.declare import Input, Output
from tasks.engine.errors import IngotError
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.panels.panels import Cell, Panel, Table
from tasks.stages.alignment import (
    LIBRARIES,
    PairsConfig,
    counts_panel,
    curve_panels,
    launch,
    outputs,
    requirements,
)
from tasks.stages.preference_panels import extreme_pairs, margin_histogram


class NoBetterThanLengthError(IngotError):
    """A reward model tells the better answer no more often than the longer one is the better."""


class NoHeldOutPairsError(IngotError):
    """There is no pair on which a reward model could be measured."""


class RewardConfig(PairsConfig):
    """How the reward model is trained on preferences."""

    learning_rate: float = Field(
        1e-4,
        description="Highest learning rate; small models take 1e-4, large ones 1e-5.",
        gt=0.0,
        le=1.0,
    )
    center_weight: float = Field(
        0.01,
        description="Weight of an additional loss that draws the mean reward to zero; 0 = without.",
        ge=0.0,
        le=100.0,
    )
    must_beat_length: bool = Field(
        True,
        description="Fail unless the model is right on more held-out pairs than the rule that the "
        "longer answer wins: the 95 % interval of the difference must lie above zero.",
    )


def run(config: RewardConfig, inputs: Inputs, out: Out) -> None:
    """Train in a process of its own; measure on held-out pairs.

    Raises:
        NoBetterThanLengthError, NoHeldOutPairsError: see `must_beat_length`.
        TrainerError: it failed; names the guard (docs/stages/reward.md lists them).
        CancelledError: it was stopped, and keeps a checkpoint.
    """
    launch("reward", config, inputs, out, withheld=["must_beat_length"])
    pairs = out.data("pairs").table()
    splits = pairs.column("split").to_pylist()
    held_out = pairs.filter(pa.array([split == VALIDATION for split in splits], pa.bool_()))
    if not held_out.num_rows:
        if config.must_beat_length:
            raise NoHeldOutPairsError(
                "reward: there is no pair of split validation, so nothing tells whether the reward "
                "model is worth more than counting tokens; raise examples.validation_fraction or "
                "examples.max_validation_examples, or set must_beat_length: false"
            )
        out.fact("held_out", None)
        return
    found = reward_quality(held_out)
    out.fact("held_out", asdict(found))
    out.log(
        f"held-out pairs told right: {_shown(found.accuracy)}; the longer answer is the better in "
        f"{_shown(found.longer_wins)}"
    )
    if config.must_beat_length:
        check_beats_length(found)


def check_beats_length(found: RewardQuality) -> None:
    """Raises:
    NoBetterThanLengthError: it is not shown that the model is better than counting tokens.
    """
    ahead = found.ahead
    if ahead.low is None or ahead.low <= 0:
        raise NoBetterThanLengthError(
            f"reward: on {ahead.n} held-out pairs the reward model is right in "
            f"{_shown(found.accuracy)}, and the longer answer is the better one in "
            f"{_shown(found.longer_wins)}; the difference, {_shown(ahead)}, is not shown to be "
            "above zero. Train longer (epochs, learning_rate), give it more or clearer "
            "preferences, hold more pairs out, or set must_beat_length: false to publish it anyway"
        )


def _shown(found: Estimate) -> str:
    between = "" if found.low is None else f" ({found.low:.1%} to {found.high:.1%})"
    return f"{found.value:.1%}{between}"


def panels(artifact: Artifact) -> list[Panel]:
    """Held-out figures, curves, differences in reward, and pairs told most wrongly and rightly."""
    curves = curve_panels(
        artifact,
        {
            "Loss": {"loss": "train"},
            "Pairs told right": {"accuracy": "train"},
            "Reward": {"mean_reward": "mean", "min_reward": "lowest", "max_reward": "highest"},
        },
    )
    pairs = artifact.data("pairs").table()
    return [
        counts_panel(artifact),
        *_held_out(artifact),
        *curves,
        margin_histogram(
            pairs,
            "Differences in reward",
            "chosen - rejected",
            "Above zero: the chosen answer has the higher reward.",
        ),
        extreme_pairs(
            artifact,
            pairs,
            ["split", "chosen_reward", "rejected_reward", "chosen_tokens", "rejected_tokens"],
            "Pairs with the lowest and the highest difference",
        ),
    ]


def _held_out(artifact: Artifact) -> list[Panel]:
    facts = artifact.facts["held_out"]
    if facts is None:
        return []
    names = {
        "accuracy": "pairs told right",
        "longer_wins": "pairs whose better answer is the longer",
        "ahead": "difference",
    }
    rows: list[list[Cell]] = [
        [label, *(facts[name][field] for field in ("value", "low", "high", "n"))]
        for name, label in names.items()
    ]
    rows.append(
        ["correlation of reward with length", facts["length_correlation"], None, None, None]
    )
    rows.append(["Brier score", facts["brier"], None, None, None])
    bins: list[list[Cell]] = [
        [f"{one['low']:.0%} to {one['high']:.0%}", one["pairs"], one["stated"], one["right"]]
        for one in facts["reliability"]
    ]
    return [
        Table(
            "Held-out pairs",
            ["", "value", "low", "high", "n"],
            rows,
            "Low and high bound the 95 % interval. Brier score: 0 is perfect, a coin has 0.25.",
        ),
        Table(
            "Calibration on held-out pairs",
            ["probability given", "pairs", "mean", "right"],
            bins,
            "Of the answer the model prefers; mean and right are to be alike.",
        ),
    ]


STAGE = Stage(
    name="reward",
    version=1,
    description="Trains a model that tells of two answers which is the better one.",
    config=RewardConfig,
    inputs={
        "model": Input(("sft.model", "pretrain.model"), "The model to start from."),
        "examples": Input(("examples.preferences",), "Pairs of answers with their split."),
    },
    outputs=outputs(
        "pairs",
        PREFERENCE_ROWS,
        {
            "model": Output("The reward model, a folder of transformers with one label."),
            "pairs": Output("Rewards of both answers, and lengths.", REWARD_PAIRS, True),
        },
    ),
    run=run,
    panels=panels,
    requires=requirements("reward", "preferences", "preference_files", "max_preferences"),
    reproducible=False,
    libraries=LIBRARIES,
    code=("llm.alignment.__main__", "llm.alignment.methods.reward"),
)
