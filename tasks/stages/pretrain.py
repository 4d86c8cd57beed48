"""pretrain: a transformer learns to predict the next token of the packed sequences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from llm.model.architecture import Architecture
from llm.tables import METRICS
from llm.tokens.hf_folder import load_tokenizer
from llm.training.run_file import (
    Execution,
)
from tasks.engine.declare import Input, Output, Requirement
from tasks.engine.identity.snapshot import Snapshot, root
from tasks.engine.stage.out import Out
from tasks.engine.stage.ranks import Ranks
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Data, Inputs
from tasks.engine.store.store import Store
from tasks.stages.pretrain_config import PretrainConfig
from tasks.stages.pretrain_data import (
    Course,
    plan_course,
    proposed,
    rows_by_source,
    same_sources,
    search_fits,
    sequence_length,
    sources_in_use,
)
from tasks.stages.pretrain_panels import panels
from tasks.stages.pretrain_start import (
    is_warm,
    other_architecture,
    start_artifact,
    start_folder,
    start_snapshot,
)
from tasks.stages.pretrain_tasks import pretrain_task_snapshots, write_tasks

_MAX_EVENTS = 200  # that are shown: the last ones; all are in the metrics


def externals(config: PretrainConfig) -> Mapping[str, Snapshot]:
    """The files of the model to go on from, if a folder is named, and those of tasks."""
    return {**start_snapshot(config.continue_from), **pretrain_task_snapshots(config)}


def named(config: PretrainConfig, store: Store) -> Mapping[str, tuple[Artifact, str]]:
    """The artifact to go on from, if one is named."""
    return start_artifact(config.continue_from, store, _stated_architecture(config))


def _same_architecture(config: PretrainConfig, context: int) -> Iterator[str]:
    if config.continue_from:
        length = ("pack.sequence_length", context)
        wanted = {**_stated_architecture(config), "max_position_embeddings": length}
        yield from other_architecture(config.continue_from, wanted)


def _stated_architecture(config: PretrainConfig) -> dict[str, tuple[str, Any]]:
    """Field of config.json -> what it is called here, and its value here."""
    return {
        "hidden_size": ("hidden_size", config.hidden_size),
        "num_hidden_layers": ("layers", config.layers),
        "num_attention_heads": ("heads", config.heads),
        "num_key_value_heads": ("key_value_heads", config.key_value_heads),
        "tie_word_embeddings": ("tied_embeddings", config.tied_embeddings),
    }


def run(config: PretrainConfig, inputs: Inputs, out: Out) -> None:
    """Train in a process of its own.

    Raises:
        UntrainableError: there are no training sequences, or they do not say their source; tasks
            have nothing to ask, or take too much.
        MixtureError: the mixture names a source without rows, or is used up before the last step.
        ExternalInputError: the model to go on from has another tokenizer.
        TrainerError: training failed; the message is the trainer's own.
        CancelledError: it was stopped, and keeps a checkpoint.
    """
    sequences = inputs["sequences"]
    folder = sequences.folder()
    tokenizer = inputs["tokenizer"].folder()
    config = with_mixture(config, inputs)
    course, length = course_of(config, sequences)
    architecture = architecture_of(config, tokenizer, length)
    start = start_folder(inputs, tokenizer)
    results = out.scratch / "results"
    results.mkdir(parents=True, exist_ok=True)
    items = out.scratch / "tasks.parquet"
    if config.tasks_every:
        write_tasks(config, inputs, out, course, length, items)
    paths = {
        "sequences": str(folder),
        "tokenizer": str(tokenizer),
        "start": start,
        "tokens": str(out.scratch),
        "scratch": str(out.scratch),
        "model": str(out.folder("model")),
        "resumable": str(out.folder("resumable")) if config.resumable else "",
        "metrics": str(results / "metrics.parquet"),
        "result": str(results / "result.json"),
    }
    record = {
        "data_id": sequences.data_id,
        "paths": paths,
        "architecture": asdict(architecture),
        "optimisation": optimisation_of(config, course.steps, course.batch_rows, is_warm(start)),
        "execution": execution_of(config),
        "phases": course.as_records(),
        "tasks": {
            "every": config.tasks_every,
            "items": str(items) if config.tasks_every else "",
        },
    }
    whole = "checkpoints/step-????????/state.json"
    ranks = Ranks(config.processes, config.nodes, config.rendezvous, config.rendezvous_seconds)
    out.launch("llm.training", record, ranks=ranks, checkpoint=whole)
    with out.table("metrics") as writer:
        writer.write(pq.read_table(paths["metrics"], schema=METRICS))
    result = json.loads(Path(paths["result"]).read_text(encoding="utf-8"))
    out.fact("events", result.pop("events")[-_MAX_EVENTS:])
    out.fact("training", result)


def with_mixture(config: PretrainConfig, inputs: Mapping[str, Data]) -> PretrainConfig:
    """The config with the mixture that was searched for, where one is asked for."""
    if not config.searched_mixture:
        return config
    found = proposed(inputs["weights"])
    return config.model_copy(update={"mixture": found, "searched_mixture": False})


def course_of(config: PretrainConfig, sequences: Data) -> tuple[Course, int]:
    """Steps of a run, and tokens of a row.

    Raises:
        UntrainableError, MixtureError: see `run`.
    """
    length = sequence_length(sequences)
    return plan_course(config, sequences, length), length


def architecture_of(config: PretrainConfig, tokenizer: Path, length: int) -> Architecture:
    """The model of a run, by its tokenizer's folder and the tokens of a row."""
    return _architecture(config, load_tokenizer(tokenizer).get_vocab_size(), length)


def execution_of(config: PretrainConfig) -> dict[str, Any]:
    """How it is run, as the trainer takes it."""
    found = {field.name: getattr(config, field.name) for field in fields(Execution)}
    found["wandb_folder"] = str(root() / config.wandb_folder)
    found["tensorboard"] = config.tensorboard and str(root() / config.tensorboard)
    return found


def optimisation_of(config: PretrainConfig, steps: int, rows: int, warm: bool) -> dict[str, Any]:
    """What decides the weights, as the trainer takes it.

    Args:
        warm: what it goes on from is in its stable phase.
    """
    return {
        "steps": steps,
        "batch_rows": rows,
        "optimiser": config.optimiser,
        "learning_rate": config.learning_rate,
        "schedule": config.schedule,
        "warmup_steps": 0 if warm else round(steps * config.warmup_share),
        "decay_share": config.decay_share,
        "final_share": config.final_share,
        "weight_decay": config.weight_decay,
        "beta1": config.adam_beta1,
        "beta2": config.adam_beta2,
        "clip": config.gradient_clip,
        "z_loss": config.z_loss,
        "document_mask": config.document_mask,
        "precision": config.precision,
        "validate_every": config.validate_every,
        "validation_rows": config.validation_rows,
        "seed": config.seed,
        "outlier_sigmas": config.outlier_sigmas,
        "parametrisation": {
            "kind": config.parametrisation,
            "base_width": config.mup_base_width,
            "base_layers": config.mup_base_layers,
            "base_head_dim": config.mup_base_head_dim,
            "zero_init": config.zero_init,
        },
    }


def _architecture(config: PretrainConfig, vocabulary_size: int, length: int) -> Architecture:
    return Architecture(
        vocabulary_size=vocabulary_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size or -(-config.hidden_size * 8 // 192) * 64,
        layers=config.layers,
        heads=config.heads,
        key_value_heads=config.key_value_heads,
        head_dim=config.head_dim or config.hidden_size // config.heads,
        context=length,
        rope_theta=config.rope_theta,
        norm_eps=1e-6,
        qk_norm=config.qk_norm,
        tied=config.tied_embeddings,
    )


STAGE = Stage(
    name="pretrain",
    version=2,
    description="Trains a transformer to predict the next token.",
    config=PretrainConfig,
    inputs={
        "sequences": Input(("replay.sequences", "pack.sequences"), "Rows of tokens."),
        "tokenizer": Input(("tokenizer.tokenizer",), "The tokenizer they were made with."),
        "weights": Input(("mix.weights",), "A mixture.", optional=True, asked="searched_mixture"),
        "documents": Input(
            ("decontaminate.documents", "dedup.documents"),
            "Validation documents, to make tasks of.",
            optional=True,
            asked="tasks_every",
        ),
        "start": Input((), "The artifact that continue_from names.", optional=True),
    },
    outputs={
        "model": Output("The base model, a Hugging Face folder."),
        "resumable": Output(
            "What later training continues from: the model before its decay, optimiser states.",
            optional=True,
        ),
        "metrics": Output(
            "Loss, gradient norm and learning rate of every step; rates, memory, validation.",
            METRICS,
        ),
    },
    run=run,
    panels=panels,
    requires=(
        Requirement(("pack.sequence_length",), _same_architecture),
        Requirement(("pack.by_source",), rows_by_source),
        Requirement(("source.names", "pack.slice_names?"), same_sources),
        Requirement(("pack.weights",), sources_in_use),
        Requirement(("mix.target_tokens?",), search_fits),
    ),
    externals=externals,
    named=named,
    reproducible=False,
    libraries=("torch", "numpy", "safetensors"),
    code=("llm.training.__main__",),
    makes_model="base",
)
