"""judge: a language model compares and grades the answers of others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import pyarrow.parquet as pq
from pydantic import Field, model_validator

from llm.evaluation.items import ITEMS
from llm.evaluation.judge.rubric import CRITERIA, Criterion
from llm.evaluation.judge.tables import JUDGE_SCORES, JUDGED_ANSWERS, OUTCOMES, VERDICTS
from llm.tables import REJECTED
from llm.training.run_file import CudaOrCpu
from tasks.engine.config import execution
from tasks.engine.declare import Input, Output, Requirement
from tasks.engine.identity.snapshot import Snapshot
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.panels.panels import Cell, Panel, Sample, Samples, Table
from tasks.stages.chain_models import chain_models, local_files
from tasks.stages.judge_access import JudgeAccessConfig
from tasks.stages.judge_inputs import answer_files, foretold, judged_snapshots, pair_files
from tasks.stages.prompts import answers_fit

_SAMPLES_SHOWN = 40
_TABLES = ("scores", "answers", "verdicts", "rejected", "outcomes", "items")


class JudgeConfig(JudgeAccessConfig):
    """What is judged, by which model, and what it may cost."""

    model: str = Field(
        "judge", description="The judge, as its endpoint calls it.", min_length=1, max_length=200
    )
    criteria: list[Criterion] = Field(
        list(CRITERIA), description="What verdicts are asked by, each by itself.", min_length=1
    )
    compare: bool = Field(True, description="Compare models, both answers in both orders.")
    grade: bool = Field(False, description="Grade each answer by itself, from 1 to 10.")
    against: str = Field(
        "", description="Compare all with this model; empty = each with the one before."
    )
    max_prompts: int = Field(
        50, description="Validation prompts that the models answer.", ge=1, le=100_000
    )
    max_preferences: int = Field(
        0,
        description="Validation pairs put to the judge, to see how far it chooses as people did.",
        ge=0,
        le=100_000,
    )
    new_tokens: int = Field(128, description="Longest answer, in tokens.", ge=1, le=65_536)
    max_reply_tokens: int = Field(
        400, description="Longest reply of the judge, in tokens.", ge=8, le=65_536
    )
    temperature: float = Field(0.0, description="Of the judge's replies.", ge=0, le=2)
    resamples: int = Field(
        1_000, description="Bootstrap resamples behind an interval.", ge=100, le=100_000
    )
    seed: int = Field(0, description="Random seed of the bootstrap.", ge=0, le=2**31 - 1)
    answers: list[str] = execution(
        [], "Answers of other models: NAME=FILE of rows with prompt and answer."
    )
    pairs: list[str] = execution(
        [], "Files of pairs: rows with prompt, answer_1, answer_2 and, where known, label."
    )
    again: bool = execution(
        False, "Ask again where the reply known from before holds no verdict; with --force."
    )
    price_prompt: float = execution(0.0, "Of a million tokens sent.", ge=0, le=1_000_000)
    price_reply: float = execution(0.0, "Of a million tokens received.", ge=0, le=1_000_000)
    currency: str = execution("USD", "Of the prices.", max_length=20)
    device: CudaOrCpu = execution("auto", "Where models answer; auto takes a GPU if there is one.")
    threads: int = execution(0, "CPU threads; 0 = as torch chooses.", ge=0, le=1024)

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if len(set(self.criteria)) < len(self.criteria):
            raise ValueError("criteria names one twice")
        return self


def _answers_fit(config: JudgeConfig, context: int) -> Iterator[str]:
    yield from answers_fit("judge", config.new_tokens, context)


def _something_to_judge(config: JudgeConfig, examples: int | None) -> Iterator[str]:
    if examples is None and not config.answers and not config.pairs:
        yield (
            "judge: there is no prompt for models to answer, and no file of answers; add the "
            "section examples, or judge.answers or judge.pairs"
        )


def externals(config: JudgeConfig) -> Mapping[str, Snapshot]:
    """Files of answers and of pairs."""
    return judged_snapshots(config.answers, config.pairs)


def foretells(
    config: JudgeConfig, inputs: Sequence[str], external: Mapping[str, Snapshot]
) -> list[str]:
    """How many calls it may take, what they may cost, and whether the key is there."""
    models = [name for name in inputs if name not in STAGE.inputs]
    told = foretold(config, models, "preferences" in inputs, external)
    return [*told, *config.missing_key()]


def run(config: JudgeConfig, inputs: Inputs, out: Out) -> None:
    """Judge in a process of its own; replies are kept in the home as they come.

    Raises:
        TrainerError: it failed; what the judge replied by then is not asked for again.
    """
    results = out.scratch / "results"
    models = [name for name in inputs if name not in STAGE.inputs]
    settings = config.model_dump(mode="json", exclude={"pool", "answers", "pairs", "key_block"})
    out.launch(
        "llm.evaluation.judge",
        {
            **settings,
            "models": [{"name": name, "folder": str(inputs[name].folder())} for name in models],
            "instructions": local_files(inputs.get("instructions")),
            "preferences": local_files(inputs.get("preferences")),
            "answers": answer_files(inputs.external, models),
            "pairs": pair_files(inputs.external),
            "replies": str(out.lasting_folder("judge")),
            "results": str(results),
        },
    )
    for name in _TABLES:
        with out.table(name) as writer:
            writer.write(pq.read_table(results / f"{name}.parquet"))
    facts = json.loads((results / "facts.json").read_text(encoding="utf-8"))
    for name, value in facts.items():
        out.fact(name, value)
    out.conserve(
        facts["asked"], out.data("verdicts").rows, rejected=facts["unusable"], unit="question"
    )
    out.log(_spent(facts))


def _spent(facts: Mapping[str, dict[str, float]]) -> str:
    """What a run took, in words."""
    cost, calls = facts["cost"], facts["calls"]
    tokens = f"{cost['prompt_tokens']:,} tokens sent, {cost['reply_tokens']:,} received"
    price = f"; {cost['amount']:.4f} {cost['currency']}" if cost["amount"] else ""
    return f"{calls} calls of {facts['asked']} questions; {tokens}{price}"


def panels(artifact: Artifact) -> list[Panel]:
    """Who wins, how far people agree, what it cost, and some verdicts to read."""
    rows = artifact.data("scores").table().to_pylist()
    facts = artifact.facts
    lines: list[list[Cell]] = [
        [row["metric"], row["model"], row["against"], _with_interval(row), row["n"]] for row in rows
    ]
    note = (
        "win_rate: share of pairs won in both orders, ties half; lc_win_rate: what it would be at "
        "equal length of answers. In brackets: 95 % bootstrap interval."
    )
    cost: list[list[Cell]] = [
        ["judge", facts["judge"]],
        ["questions", facts["asked"]],
        ["calls of this run", facts["calls"]],
        ["tokens sent", facts["cost"]["prompt_tokens"]],
        ["tokens received", facts["cost"]["reply_tokens"]],
        ["cost", f"{facts['cost']['amount']:.4f} {facts['cost']['currency']}"],
        ["pairs without an outcome", facts["pairs_without_outcome"]],
        *([f"without a verdict: {reason}", n] for reason, n in facts["unusable"].items()),
        *([f"not asked: {reason}", n] for reason, n in facts["left_out"].items()),
    ]
    shown: list[Panel] = [
        Table("Verdicts", ["measure", "model", "against", "value", "n"], lines, note),
        Table("Calls", ["", "value"], cost, "What was known from before was not asked again."),
    ]
    verdicts = artifact.data("verdicts").table().slice(0, _SAMPLES_SHOWN).to_pylist()
    if verdicts:
        items = [
            Sample(
                f"{row['criterion']}, {row['order'] or 'one answer'}: {row['verdict']}",
                row["reply"],
                {"item": row["item"], "model": row["model"], "against": row["against"]},
            )
            for row in verdicts
        ]
        shown.append(Samples("What the judge says", items, "Forward: the model's answer first."))
    return shown


def _with_interval(row: Mapping[str, float]) -> str:
    value = f"{row['value']:.3g}"
    return value if row["low"] is None else f"{value} [{row['low']:.3g}, {row['high']:.3g}]"


def _models(stages: Sequence[Stage]) -> dict[str, Input]:
    """The model of every stage that makes one."""
    return dict(chain_models(stages))


STAGE = Stage(
    name="judge",
    version=2,
    description="Has a language model compare and grade the answers of others.",
    config=JudgeConfig,
    inputs={
        "instructions": Input(
            ("examples.instructions",), "Validation prompts to answer.", optional=True
        ),
        "preferences": Input(
            ("examples.preferences",), "Validation pairs that people chose from.", optional=True
        ),
    },
    inputs_from=_models,
    outputs={
        "scores": Output("A value per model and measure, with its 95 % interval.", JUDGE_SCORES),
        "answers": Output("What was judged.", JUDGED_ANSWERS),
        "verdicts": Output("What the judge said of each question.", VERDICTS, True),
        "rejected": Output("Questions without a verdict, with the reply.", REJECTED, True),
        "outcomes": Output("Both orders of a pair together.", OUTCOMES),
        "items": Output("What each grade counts; what models are compared by.", ITEMS),
    },
    run=run,
    panels=panels,
    externals=externals,
    foretells=foretells,
    requires=(
        Requirement(("pack.sequence_length",), _answers_fit),
        Requirement(("examples.max_instructions?",), _something_to_judge),
    ),
    reproducible=False,  # nobody vouches for what a judge says another time
    libraries=("torch", "tokenizers", "httpx"),
    code=("llm.evaluation.judge.__main__",),
)
