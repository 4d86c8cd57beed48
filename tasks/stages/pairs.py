"""pairs: preferences out of a model's own answers, the best against the worst."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import pyarrow.parquet as pq

from llm.alignment.examples.tables import PREFERENCES
from llm.tables import REJECTED, REMOVED, SAMPLED_ANSWERS
from tasks.engine.declare import Input, Output, Requirement
from tasks.engine.identity.snapshot import Snapshot
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.panels.panels import Cell, Panel, Sample, Samples, Table
from tasks.stages.alignment import SAMPLES_SHOWN
from tasks.stages.chain_models import local_files
from tasks.stages.pairs_config import SampledPairsConfig
from tasks.stages.prompts import answers_fit

_TABLES = ("preferences", "samples", "removed", "rejected")


def run(config: SampledPairsConfig, inputs: Inputs, out: Out) -> None:
    """Draw, rank and choose in a process of its own.

    Raises:
        TrainerError: it failed; names the guard (docs/stages/pairs.md lists them). What was drawn
            and graded by then is kept.
    """
    judge, results = inputs.get("reward_model"), out.scratch / "results"
    drawing = config.drawing()
    how = [name for name in config.execution() if name in drawing]
    out.launch(
        "llm.sampled_pairs",
        {
            **drawing,
            "model": str(inputs["model"].folder()),
            "examples": local_files(inputs["examples"]),
            "reward_model": str(judge.folder()) if judge else "",
            "judge": config.judge(),
            "replies": str(out.lasting_folder("judge")),
            "results": str(results),
            "scratch": str(out.scratch / "drawn"),
            "execution": how,
        },
    )
    for name in _TABLES:
        with out.table(name) as writer:
            writer.write(pq.read_table(results / f"{name}.parquet"))
    counts = json.loads((results / "counts.json").read_text(encoding="utf-8"))
    out.conserve(
        inputs["examples"].rows,
        counts["pairs"],
        removed=counts["removed"],
        rejected=counts["rejected"],
        unit="prompt",
    )
    out.fact("figures", counts["figures"])
    out.log(f"{counts['pairs']} pairs; without one: {counts['rejected'] or 'none'}")


def foretells(
    config: SampledPairsConfig, inputs: Sequence[str], external: Mapping[str, Snapshot]
) -> list[str]:
    """Whether a judge will be asked, and whether its key is there."""
    if not config.judge_weight:
        return []
    found = [f"calls of {config.judge_model}: one an answer, {config.samples} a prompt"]
    return [*found, *config.missing_key()]


def panels(artifact: Artifact) -> list[Panel]:
    """What became of the prompts, what was chosen, and answers to read."""
    totals = artifact.manifest.totals
    rows: list[list[Cell]] = [["prompts", totals.rows_in], ["pairs", totals.kept]]
    rows += [[f"removed: {reason}", n] for reason, n in sorted(totals.removed.items())]
    rows += [[f"no pair: {reason}", n] for reason, n in sorted(totals.rejected.items())]
    columns = ("split", "role", "answers", "reward", "tokens", "longer")
    figures: list[list[Cell]] = [
        [row[name] for name in columns] for row in artifact.facts["figures"]
    ]
    note = "longer: share of pairs whose chosen answer is the longer one. Lengths in tokens."
    return [
        Table("Prompts", ["", "count"], rows),
        Table(
            "Answers",
            ["split", "", "answers", "mean reward", "mean length", "longer"],
            figures,
            note,
        ),
        *_samples(artifact),
    ]


def _samples(artifact: Artifact) -> list[Panel]:
    prompts = artifact.data("preferences").table(["prompt", "chosen", "rejected"])
    items = [
        Sample(
            f"pair {number}",
            "\n\n".join(
                [*(f"{turn['role']}: {turn['content']}" for turn in row["prompt"])]
                + [f"{side}: {row[side][0]['content']}" for side in ("chosen", "rejected")]
            ),
            {},
        )
        for number, row in enumerate(prompts.slice(0, SAMPLES_SHOWN).to_pylist(), 1)
    ]
    drawn = artifact.data("samples").table().slice(0, SAMPLES_SHOWN).to_pylist()
    answers = [
        Sample(
            f"{row['doc_id']}, answer {row['sample'] + 1}",
            row["answer"],
            {
                "reward": row["reward"],
                **{part["name"]: part["value"] for part in row["parts"]},
                "tokens": row["tokens"],
                "finished": row["finished"],
                "role": row["role"] or "neither",
            },
        )
        for row in drawn
    ]
    return [Samples("Pairs", items), Samples("Answers to the first prompts", answers)]


def _answers_fit(config: SampledPairsConfig, context: int) -> Iterator[str]:
    yield from answers_fit("pairs", config.new_tokens, context)
    if config.max_length > context:
        yield (
            f"pairs.max_length: {config.max_length} is more than the model's context, "
            f"pack.sequence_length: {context}; lower it (0 = the context)"
        )


def _some_prompts(
    config: SampledPairsConfig, from_documents: bool, limit: int, named: list[str]
) -> Iterator[str]:
    if not (from_documents and limit) and not named:
        yield (
            "pairs: answers the prompts of instructions, and examples makes none; name "
            "examples.instruction_files, or set make_from_documents and max_instructions there"
        )


def _reward_is_made(config: SampledPairsConfig, trained: bool | None) -> Iterator[str]:
    if config.asks_a_model and trained is None:
        yield (
            "pairs.rewards: a part of kind model asks the reward model, and the recipe makes none; "
            "add the section reward, or take rewards of other kinds"
        )


STAGE = Stage(
    name="pairs",
    version=1,
    description="Lets a model answer several times, and makes preferences of its answers.",
    config=SampledPairsConfig,
    inputs={
        "model": Input(("sft.model", "pretrain.model"), "The model that answers."),
        "examples": Input(("examples.instructions",), "Prompts with their answers and split."),
        "reward_model": Input(
            ("reward.model",), "What judges answers.", optional=True, asked="asks_a_model"
        ),
    },
    outputs={
        "preferences": Output("The best answer to a prompt and the worst.", PREFERENCES, True),
        "samples": Output("All answers, and what they are worth.", SAMPLED_ANSWERS),
        "removed": Output("Prompts that were not answered.", REMOVED, True),
        "rejected": Output("Prompts that gave no pair.", REJECTED, True),
    },
    run=run,
    panels=panels,
    foretells=foretells,
    requires=(
        Requirement(("pack.sequence_length",), _answers_fit),
        Requirement(
            (
                "examples.make_from_documents",
                "examples.max_instructions",
                "examples.instruction_files",
            ),
            _some_prompts,
        ),
        Requirement(("reward.must_beat_length?",), _reward_is_made),
    ),
    reproducible=False,
    libraries=("torch", "tokenizers", "httpx"),
    code=("llm.sampled_pairs.__main__", "llm.sampled_pairs.making"),
)
