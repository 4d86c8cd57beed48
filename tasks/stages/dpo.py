"""dpo: of two answers the model comes to prefer the better one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from llm.alignment.methods.dpo_run import Loss
from llm.tables import PAIR_LOGPROBS, PAIRS, PREFERENCE_ROWS
from tasks.engine.config import added
from tasks.engine.declare import Input, Output, Requirement
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.panels.panels import Cell, Panel, Table
from tasks.stages.alignment import (
    LIBRARIES,
    AdaptersConfig,
    DriftConfig,
    PairsConfig,
    counts_panel,
    curve_panels,
    launch,
    outputs,
    requirements,
    rows_of,
)
from tasks.stages.preference_panels import extreme_pairs, margin_histogram

LearnFrom = Literal["examples", "samples", "both"]


class DpoConfig(DriftConfig, PairsConfig, AdaptersConfig):
    """How the model is tuned on preferences."""

    loss: Loss = added(
        "sigmoid",
        "Of a pair: sigmoid (Rafailov et al. 2023), ipo (Azar et al. 2023; towards a fixed gap), "
        "sigmoid_norm (sigmoid of log-probabilities a token).",
    )
    sft_weight: float = Field(
        0.0,
        description="Weight of an additional loss on the chosen answers; 0.2 keeps their "
        "probability from falling along with that of the rejected.",
        ge=0.0,
        le=100.0,
    )
    pairs: LearnFrom = added(
        "examples",
        "examples: preferences of examples; samples: those that the stage pairs makes of a model's "
        "own answers; both: all of them.",
    )

    @property
    def asks_examples(self) -> bool:
        """Whether preferences of the stage `examples` are read."""
        return self.pairs != "samples"

    @property
    def asks_samples(self) -> bool:
        """Whether preferences of the stage `pairs` are read."""
        return self.pairs != "examples"


def run(config: DpoConfig, inputs: Inputs, out: Out) -> None:
    """Train in a process of its own.

    Raises:
        TrainerError: it failed; names the guard (docs/stages/dpo.md lists them).
        CancelledError: it was stopped, and keeps a checkpoint.
    """
    given = rows_of(*(inputs[name] for name in ("examples", "samples") if name in inputs))
    counts = launch("dpo", config, inputs, out, withheld=["pairs"], given=given)
    name = "validation/preference_accuracy"
    if name in counts["validation_before"]:
        before, after = counts["validation_before"][name], counts["validation_after"][name]
        out.log(
            f"validation pairs with the chosen answer more probable: {before:.1%} -> {after:.1%}"
        )


def panels(artifact: Artifact) -> list[Panel]:
    """Validation figures, curves, margins, and the pairs that moved least and most."""
    facts = artifact.facts
    before, after = facts["validation_before"], facts["validation_after"]
    rows: list[list[Cell]] = [
        [name.removeprefix("validation/").replace("_", " "), before.get(name), after[name]]
        for name in sorted(after)
    ]
    validation = Table(
        "Validation pairs",
        ["", "before", "after"],
        rows,
        "Log-probabilities in nats a token; rewards are relative to the starting model.",
    )
    curves = curve_panels(
        artifact,
        {
            "Loss": {"loss": "train"},
            "Preference": {"rewards/accuracies": "pairs preferred"},
            "Reward": {
                "rewards/margins": "margin",
                "rewards/chosen": "chosen",
                "rewards/rejected": "rejected",
            },
            "Log-probability of an answer": {
                "logps/chosen": "chosen",
                "logps/rejected": "rejected",
            },
            "Length of an answer": {"validation/answer_tokens": "tokens"},
        },
    )
    pairs = artifact.data("pairs").table()
    return [
        counts_panel(artifact),
        validation,
        *curves,
        margin_histogram(
            pairs,
            "Margins after training",
            "beta x nats",
            "Above zero: the chosen answer gained more than the rejected one.",
        ),
        extreme_pairs(
            artifact,
            pairs,
            ["split", *PAIR_LOGPROBS],
            "Pairs with the lowest and the highest margin",
        ),
    ]


_ROWS_FIT, _SOME_EXAMPLES = requirements(
    "dpo", "preferences", "preference_files", "max_preferences"
)


def _some_pairs(config: DpoConfig, *values: Any) -> Iterator[str]:
    if config.pairs == "examples":
        yield from _SOME_EXAMPLES.problems(config, *values)


STAGE = Stage(
    name="dpo",
    version=3,
    description="Tunes the model on pairs of answers, with the starting model as reference.",
    config=DpoConfig,
    inputs={
        "model": Input(("sft.model", "pretrain.model"), "The model to start from."),
        "examples": Input(
            ("examples.preferences",), "Pairs of answers with their split.", asked="asks_examples"
        ),
        "samples": Input(
            ("pairs.preferences",), "Pairs of a model's own answers.", asked="asks_samples"
        ),
    },
    outputs=outputs(
        "pairs",
        PREFERENCE_ROWS,
        {"pairs": Output("Log-probabilities before and after.", PAIRS, unique_ids=True)},
    ),
    run=run,
    panels=panels,
    requires=(_ROWS_FIT, Requirement(_SOME_EXAMPLES.of, _some_pairs)),
    reproducible=False,
    libraries=LIBRARIES,
    code=("llm.alignment.__main__", "llm.alignment.methods.dpo"),
    makes_model="dpo",
)
