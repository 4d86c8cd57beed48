"""kto: the model learns from answers that somebody found good or bad, each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from llm.alignment.examples.tables import THUMBS
from llm.alignment.examples.unpaired import COLUMNS, unpaired
from llm.tables import REJECTED, REMOVED, THUMB_REWARDS, THUMB_ROWS
from tasks.engine.declare import Input, Output, Requirement
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Data, Inputs
from tasks.panels.panels import Cell, Histogram, Panel, Sample, Samples, Table
from tasks.stages.alignment import (
    LIBRARIES,
    SAMPLES_SHOWN,
    CutRowsConfig,
    DriftConfig,
    GivenRows,
    counts_panel,
    curve_panels,
    launch,
    outputs,
    requirements,
)

LearnFrom = Literal["thumbs", "preferences"]
_BINS = 20


class KtoConfig(DriftConfig, CutRowsConfig):
    """How the model is tuned on answers with a thumb up or down."""

    learn_from: LearnFrom = Field(
        "thumbs",
        description="thumbs: answers with a thumb each; preferences: pairs taken apart, the chosen "
        "answer with a thumb up, the rejected one with a thumb down.",
    )
    epochs: int = Field(1, description="Passes over the answers.", ge=1, le=1_000)
    desirable_weight: float = Field(
        1.0,
        description="Weight of answers with a thumb up; that of all of them is best 1 to 1.33 "
        "times that of all others.",
        gt=0.0,
        le=1_000.0,
    )
    undesirable_weight: float = Field(
        1.0, description="Weight of answers with a thumb down.", gt=0.0, le=1_000.0
    )
    # Not execution: the divergence is estimated over it.
    micro_batch_size: int = Field(
        0,
        description="Answers per forward pass, two at least; must divide batch_size; 0 = the whole "
        "batch.",
        ge=0,
        le=65_536,
    )

    @model_validator(mode="after")
    def _compares(self) -> KtoConfig:
        if 1 in (self.batch_size, self.micro_batch_size):
            raise ValueError(
                "batch_size, micro_batch_size: an answer is held against those of others in its "
                "batch; take two at least"
            )
        return self

    @property
    def asks_thumbs(self) -> bool:
        """Whether thumbs are read."""
        return self.learn_from == "thumbs"

    @property
    def asks_preferences(self) -> bool:
        """Whether preferences are read."""
        return self.learn_from == "preferences"


def run(config: KtoConfig, inputs: Inputs, out: Out) -> None:
    """Train in a process of its own.

    Raises:
        TrainerError: it failed; names the guard (docs/stages/kto.md lists them).
        CancelledError: it was stopped, and keeps a checkpoint.
    """
    given = None
    if config.asks_preferences:
        given = _taken_apart(inputs["preferences"], out.scratch / "thumbs.parquet")
    counts = launch("kto", config, inputs, out, withheld=["learn_from"], given=given)
    auc = counts["validation_after"].get("validation/reward_auc")
    if auc is not None:
        out.log(
            f"validation answers with a thumb up rewarded above those with a thumb down: {auc:.1%}"
        )


def _taken_apart(pairs: Data, path: Path) -> GivenRows:
    with pq.ParquetWriter(path, THUMBS) as writer:
        for table in unpaired(pairs.tables(list(COLUMNS))):
            writer.write_table(table)
    return GivenRows([str(path)], 2 * pairs.rows, REMOVED.empty_table(), REJECTED.empty_table())


def panels(artifact: Artifact) -> list[Panel]:
    """Validation figures, curves, rewards by thumb, and answers that moved against theirs."""
    facts = artifact.facts
    before, after = facts["validation_before"], facts["validation_after"]
    rows: list[list[Cell]] = [
        [name.removeprefix("validation/").replace("_", " "), before.get(name), after[name]]
        for name in sorted(after)
    ]
    thumbs: list[list[Cell]] = [["up", facts["thumbs_up"]], ["down", facts["thumbs_down"]]]
    curves = curve_panels(
        artifact,
        {
            "Loss": {"loss": "train"},
            "Reward": {"rewards/chosen": "thumb up", "rewards/rejected": "thumb down"},
            "KL divergence from the starting model": {"kl": "nats an answer"},
            "Log-probability of an answer": {
                "logps/chosen": "thumb up",
                "logps/rejected": "thumb down",
            },
            "Length of an answer": {"validation/answer_tokens": "tokens"},
        },
    )
    rewards = artifact.data("rewards").table()
    return [
        counts_panel(artifact),
        Table("Thumbs learned from", ["thumb", "answers"], thumbs),
        Table(
            "Validation answers",
            ["", "before", "after"],
            rows,
            "chosen: with a thumb up, rejected: with a thumb down. Log-probabilities in nats a "
            "token; rewards are relative to the starting model.",
        ),
        *curves,
        _histogram(rewards),
        _samples(artifact, rewards),
    ]


def _by_thumb(rewards: pa.Table) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    up = rewards.column("desirable").to_numpy(zero_copy_only=False)
    return rewards.column("reward").to_numpy(), up


def _histogram(rewards: pa.Table) -> Histogram:
    values, up = _by_thumb(rewards)
    edges = np.histogram_bin_edges(values, bins=_BINS)
    counts = {
        name: [float(n) for n in np.histogram(values[rows], bins=edges)[0]]
        for name, rows in (("thumb up", up), ("thumb down", ~up))
    }
    note = "Above zero: more probable than to the starting model."
    return Histogram("Rewards after training", "beta x nats", edges.tolist(), counts, note)


def _samples(artifact: Artifact, rewards: pa.Table) -> Samples:
    """Those the model came to give against their thumb first, then those it did most for."""
    values, up = _by_thumb(rewards)
    order = np.argsort(np.where(up, values, -values), kind="stable")
    ends = [*order[: SAMPLES_SHOWN // 2], *order[::-1][: SAMPLES_SHOWN // 2]]
    places = list(dict.fromkeys(int(row) for row in ends))
    examples = artifact.data("examples").table(["prompt", "answer"]).take(places)
    items = [
        Sample(
            worth["doc_id"],
            row["prompt"] + row["answer"],
            {
                "thumb": "up" if worth["desirable"] else "down",
                "split": worth["split"],
                **{name: worth[name] for name in ("logp_before", "logp_after", "reward")},
            },
        )
        for row, worth in zip(examples.to_pylist(), rewards.take(places).to_pylist(), strict=True)
    ]
    return Samples("Answers that moved most against their thumb, and most with it", items)


_ROWS_FIT, _SOME_PAIRS = requirements("kto", "preferences", "preference_files", "max_preferences")


def _some_rows(
    config: KtoConfig, from_documents: bool, limit: int, pairs: list[str], thumbs: list[str]
) -> Iterator[str]:
    if config.asks_preferences:
        yield from _SOME_PAIRS.problems(config, from_documents, limit, pairs)
    elif not thumbs:
        yield (
            "kto: learns from thumbs, and examples has none; name examples.thumb_files, or set "
            "kto.learn_from: preferences"
        )


STAGE = Stage(
    name="kto",
    version=1,
    description="Tunes the model on answers with a thumb up or down.",
    config=KtoConfig,
    inputs={
        "model": Input(("sft.model", "pretrain.model"), "The model to start from."),
        "examples": Input(
            ("examples.thumbs",), "Answers with thumbs and their split.", asked="asks_thumbs"
        ),
        "preferences": Input(
            ("examples.preferences",),
            "Pairs of answers with their split.",
            asked="asks_preferences",
        ),
    },
    outputs=outputs(
        "answers",
        THUMB_ROWS,
        {"rewards": Output("What each answer is worth to the model.", THUMB_REWARDS, True)},
    ),
    run=run,
    panels=panels,
    requires=(_ROWS_FIT, Requirement((*_SOME_PAIRS.of, "examples.thumb_files"), _some_rows)),
    reproducible=False,
    libraries=LIBRARIES,
    code=("llm.alignment.__main__", "llm.alignment.methods.kto"),
    makes_model="kto",
)
