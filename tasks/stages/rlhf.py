"""rlhf: the model comes to give answers that rewards find good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from llm.evaluation.bootstrap import difference, estimate
from llm.evaluation.measure import mean
from llm.tables import HELD_OUT_ANSWERS, PROMPT_ROWS, ROLLOUTS
from tasks.engine.declare import Input, Output, Requirement
from tasks.engine.identity.snapshot import Snapshot, snapshot_files
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.panels.panels import Cell, Panel, Sample, Samples, Table
from tasks.stages.alignment import (
    LIBRARIES,
    SAMPLES_SHOWN,
    counts_panel,
    curve_panels,
    launch,
    outputs,
    requirements,
)
from tasks.stages.prompts import answers_fit
from tasks.stages.rlhf_config import RlhfConfig
from tasks.stages.rlhf_prompts import prompts_in_files

_RESAMPLES, _SEED = 2000, 0


def externals(config: RlhfConfig) -> Mapping[str, Snapshot]:
    """The files of prompts."""
    if not config.prompt_files:
        return {}
    return {"prompt_files": snapshot_files(config.prompt_files, "rlhf.prompt_files")}


def run(config: RlhfConfig, inputs: Inputs, out: Out) -> None:
    """Train in a process of its own.

    Raises:
        TrainerError: it failed; names the guard (docs/stages/rlhf.md lists them).
        CancelledError: it was stopped, and keeps a checkpoint.
    """
    judge, files = inputs.get("reward_model"), inputs.external.get("prompt_files")
    given = None
    if files is not None:
        given = prompts_in_files(
            files, config.validation_fraction, config.split_seed, out.scratch / "prompts"
        )
    launch(
        "rlhf",
        config,
        inputs,
        out,
        withheld=["prompt_files", "validation_fraction", "split_seed"],
        more={"reward_model": str(judge.folder()) if judge else ""},
        given=given,
    )
    answers = out.data("held_out").table()
    if not answers.num_rows:
        out.fact("held_out", None)
        return
    ids = tuple(answers.column("doc_id").to_pylist())
    before, after = (
        mean("reward", ids, answers.column(f"reward_{when}").to_numpy())
        for when in ("before", "after")
    )
    change = difference(after, before, _RESAMPLES, _SEED)
    assert change is not None  # they are of the same prompts
    found = {
        "before": estimate(before, _RESAMPLES, _SEED),
        "after": estimate(after, _RESAMPLES, _SEED),
        "change": change,
    }
    out.fact("held_out", {name: asdict(figure) for name, figure in found.items()})
    between = "" if change.low is None else f" ({change.low:+.4g} to {change.high:+.4g})"
    out.log(
        f"reward of held-out prompts: {before.value:.4g} -> {after.value:.4g}, "
        f"{change.value:+.4g}{between}"
    )


def panels(artifact: Artifact) -> list[Panel]:
    """Held-out answers, curves, and answers that were learned from."""
    names = [part["name"] for part in artifact.manifest.config["rewards"]]
    curves = curve_panels(
        artifact,
        {
            "Reward": {"reward": "of a step's answers", "validation/reward": "held-out prompts"},
            "Reward by part": {f"rewards/{name}/mean": name for name in names},
            "KL divergence from the starting model": {"kl": "nats a token"},
            "Length of answers": {"completions/mean_length": "tokens"},
            "Entropy": {"entropy": "nats a token"},
            "Prompts whose answers are all worth the same": {"frac_reward_zero_std": "share"},
        },
    )
    return [counts_panel(artifact), *_held_out(artifact), *curves, *_samples(artifact)]


def _held_out(artifact: Artifact) -> list[Panel]:
    facts = artifact.facts
    if facts["held_out"] is None:
        return []
    rows: list[list[Cell]] = [
        [name, *(figure[field] for field in ("value", "low", "high", "n"))]
        for name, figure in facts["held_out"].items()
    ]
    before, after = facts["validation_before"], facts["validation_after"]
    parts: list[list[Cell]] = [
        [name.removeprefix("validation/"), before[name], after[name]] for name in sorted(after)
    ]
    note = "Of the most probable answer; low and high bound the 95 % interval."
    return [
        Table("Reward of held-out prompts", ["", "value", "low", "high", "n"], rows, note),
        Table("Held-out prompts by part", ["", "before", "after"], parts),
    ]


def _samples(artifact: Artifact) -> list[Panel]:
    held_out = artifact.data("held_out").table().slice(0, SAMPLES_SHOWN).to_pylist()
    pairs = [
        Sample(
            row["doc_id"],
            f"{row['prompt']}\n\nbefore:\n{row['answer_before']}\n\nafter:\n{row['answer_after']}",
            {
                "expected": row["expected"],
                "reward before": row["reward_before"],
                "reward after": row["reward_after"],
            },
        )
        for row in held_out
    ]
    learned = artifact.data("samples").table()
    shown = learned.slice(max(0, learned.num_rows - SAMPLES_SHOWN)).to_pylist()
    drawn = [
        Sample(
            f"step {row['step']}",
            f"{row['prompt']}{row['answer']}",
            {
                "reward": row["reward"],
                **{part["name"]: part["value"] for part in row["parts"]},
                "tokens": row["tokens"],
                "finished": row["finished"],
            },
        )
        for row in shown
    ]
    panels = []
    if pairs:
        panels.append(Samples("Held-out prompts, before and after", pairs))
    if drawn:
        panels.append(Samples("Answers learned from, of the last steps kept", drawn))
    return [*panels]


def _answers_fit(config: RlhfConfig, context: int) -> Iterator[str]:
    yield from answers_fit("rlhf", config.new_tokens, context)


_ROWS_FIT, _SOME_EXAMPLES = requirements(
    "rlhf", "instructions", "instruction_files", "max_instructions"
)


def _some_prompts(config: RlhfConfig, *values: Any) -> Iterator[str]:
    if config.asks_examples:
        yield from _SOME_EXAMPLES.problems(config, *values)


def _reward_is_made(config: RlhfConfig, trained: bool | None) -> Iterator[str]:
    if config.asks_a_model and trained is None:
        yield (
            "rlhf.rewards: a part of kind model asks the reward model, and the recipe makes none; "
            "add the section reward, or take rewards of other kinds"
        )


STAGE = Stage(
    name="rlhf",
    version=1,
    description="Tunes the model by rewards of its own answers.",
    config=RlhfConfig,
    inputs={
        "model": Input(
            ("dpo.model", "kto.model", "sft.model"), "The model to start from, and the reference."
        ),
        "examples": Input(
            ("examples.instructions",),
            "Prompts with their answers and split.",
            asked="asks_examples",
        ),
        "reward_model": Input(
            ("reward.model",), "What judges answers.", optional=True, asked="asks_a_model"
        ),
    },
    outputs=outputs(
        "prompts",
        PROMPT_ROWS,
        {
            "samples": Output("Answers that were learned from, every few steps.", ROLLOUTS),
            "held_out": Output(
                "Answers to validation prompts, before and after.", HELD_OUT_ANSWERS
            ),
        },
    ),
    run=run,
    panels=panels,
    externals=externals,
    requires=(
        _ROWS_FIT,
        Requirement(_SOME_EXAMPLES.of, _some_prompts),
        Requirement(("pack.sequence_length",), _answers_fit),
        Requirement(("reward.must_beat_length?",), _reward_is_made),
    ),
    reproducible=False,
    libraries=LIBRARIES,
    code=("llm.alignment.__main__", "llm.alignment.methods.rlhf"),
    makes_model="rlhf",
)
