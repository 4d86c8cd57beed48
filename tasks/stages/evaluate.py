"""evaluate: every model of the recipe on the same validation text, answers and prompts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow.parquet as pq

from llm.evaluation.items import ITEMS
from llm.evaluation.score_tables import SAMPLES, SCORES
from llm.evaluation.tasks.answer_table import ANSWERS
from tasks.engine.declare import Input, Output, Requirement
from tasks.engine.errors import ExternalInputError
from tasks.engine.identity.snapshot import Snapshot
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Data, Inputs
from tasks.engine.store.named import is_named, named_artifact
from tasks.engine.store.store import Store
from tasks.stages.chain_models import chain_models, local_files
from tasks.stages.evaluate_config import EvaluateConfig
from tasks.stages.evaluate_others import model_records, model_snapshots
from tasks.stages.evaluate_panels import panels
from tasks.stages.evaluate_safety import (
    ELSEWHERE,
    safety_record,
    safety_snapshots,
)
from tasks.stages.evaluate_tasks import (
    TASKS,
    harness_files,
    harness_snapshots,
    task_records,
    task_snapshots,
)
from tasks.stages.prompts import answers_fit, texts_fit

_CHAMPION = "champion"


def _prompts_fit(
    config: EvaluateConfig, longest_token: int, digits: str, context: int
) -> Iterator[str]:
    yield from answers_fit("evaluate", config.new_tokens, context)
    yield from texts_fit(
        "evaluate.prompts", config.prompts, context, longest_token, digits, chat=True
    )
    yield from texts_fit(
        "evaluate.continuations", config.continuations, context, longest_token, digits
    )


def _validation_documents(config: EvaluateConfig, validation_fraction: float) -> Iterator[str]:
    if not validation_fraction:
        yield (
            "dedup.validation_fraction: 0 holds no document out, and evaluate scores validation "
            "documents; raise it, or remove the section evaluate"
        )


def externals(config: EvaluateConfig) -> Mapping[str, Snapshot]:
    """Benchmark tasks with the files they need, models of others, prompts and words."""
    return {
        **task_snapshots(config.tasks, TASKS),
        **harness_snapshots(config.lm_eval_tasks, config.lm_eval_files),
        **model_snapshots(config.models),
        **safety_snapshots(config),
    }


def named(config: EvaluateConfig, store: Store) -> Mapping[str, tuple[Artifact, str]]:
    """The champion, if one is named.

    Raises:
        ExternalInputError: it is not in the store.
    """
    field = f"evaluate.{_CHAMPION}"
    if not config.champion:
        return {}
    if not is_named(config.champion):
        raise ExternalInputError(
            f"{field}: {config.champion!r} names no model of the store; write stage@ and at least "
            "4 digits (0-9, a-f) of its build id, which `ingot why` shows"
        )
    return {_CHAMPION: named_artifact(store, config.champion, "model", field)}


def run(config: EvaluateConfig, inputs: Inputs, out: Out) -> None:
    """Measure in a process of its own.

    Raises:
        TrainerError: it failed: no validation document (`NoValidationTextError`), a damaged
            model.
    """
    results = out.scratch / "results"
    own = [name for name in inputs if name not in STAGE.inputs]
    models = [_CHAMPION, *own] if _CHAMPION in inputs else own
    # Paths are those of the snapshots.
    elsewhere = {"pool", "by_language", "tasks", "lm_eval_files", "models", _CHAMPION}
    elsewhere |= {*ELSEWHERE, "verbatim_prompts", "verbatim_tokens"}
    settings = config.model_dump(mode="json", exclude=elsewhere)
    out.launch(
        "llm.evaluation",
        {
            **settings,
            "models": _with_the_one_before({name: inputs[name] for name in models}),
            "documents": local_files(inputs.get("documents")),
            "instructions": local_files(inputs.get("instructions")),
            "preferences": local_files(inputs.get("preferences")),
            "attributes": local_files(inputs.get("attributes")),
            "tasks": task_records(inputs.external, TASKS),
            "safety": safety_record(config, inputs.external),
            "verbatim": {
                "index": [str(inputs["index"].folder())] if "index" in inputs else [],
                "prompts": config.verbatim_prompts,
                "tokens": config.verbatim_tokens,
            },
            "lm_eval_files": harness_files(inputs.external),
            "others": model_records(inputs.external, models),
            "results": str(results),
        },
    )
    for name in ("scores", "items", "samples", "answers"):
        with out.table(name) as writer:
            writer.write(pq.read_table(results / f"{name}.parquet"))
    for name, value in json.loads((results / "facts.json").read_text(encoding="utf-8")).items():
        out.fact(name, value)


def _with_the_one_before(models: Mapping[str, Data]) -> list[dict[str, str]]:
    """Models as run.json holds them: each is compared with the one that it was made from, where
    that is among them, else with the one before it in the chain."""
    known: dict[str, str] = {}
    found = []
    for name, data in models.items():
        started = data.artifact.manifest.inputs.get("model") if data.artifact else None
        last = next(reversed(known.values()), "")
        before = known.get(started.data_id, last) if started else last
        before = "" if name == _CHAMPION else before
        found.append({"name": name, "folder": str(data.folder()), "before": before})
        if name != _CHAMPION:
            known[data.data_id] = name
    return found


def _models(stages: Sequence[Stage]) -> dict[str, Input]:
    """Each model is compared with the one before it; one at least there has to be."""
    return {
        name: replace(model, one_of="model") for name, model in dict(chain_models(stages)).items()
    }


def _index_is_there(config: EvaluateConfig, answers: bool | None) -> Iterator[str]:
    if config.verbatim_prompts and answers is None:
        yield (
            "evaluate.verbatim_prompts: answers are looked up in what was trained on, and the "
            "recipe has no section index; add `index: {}`, or set it to 0"
        )


def _something_to_score(
    config: EvaluateConfig, validation_fraction: float | None, seed: int | None
) -> Iterator[str]:
    asked = (config.tasks, config.lm_eval_tasks, config.lm_eval_files)
    if validation_fraction is None and seed is None and not any(asked):
        yield (
            "evaluate: the recipe has neither documents (dedup) nor examples, and names no task, "
            "so there is nothing to score; add one of these, or remove evaluate"
        )


STAGE = Stage(
    name="evaluate",
    version=5,
    description="Scores every model on validation text, answers and preferences.",
    config=EvaluateConfig,
    inputs={
        "documents": Input(
            ("decontaminate.documents", "dedup.documents"),
            "Documents with their split; without them nothing is measured on text.",
            optional=True,
        ),
        "instructions": Input(
            ("examples.instructions",), "Validation answers to score.", optional=True
        ),
        "preferences": Input(
            ("examples.preferences",), "Validation pairs to tell apart.", optional=True
        ),
        "attributes": Input(
            ("annotate.attributes",), "Languages.", optional=True, asked="by_language"
        ),
        "index": Input(
            ("index.index",), "What was trained on.", optional=True, asked="verbatim_prompts"
        ),
        _CHAMPION: Input((), "The model that `champion` names.", optional=True),
    },
    inputs_from=_models,
    named=named,
    outputs={
        "scores": Output("A value per model and metric, with its 95 % interval.", SCORES),
        "items": Output(
            "What each item counts: every measure of a model is sum(value) / sum(weight).", ITEMS
        ),
        "samples": Output("Replies of the models to fixed prompts.", SAMPLES),
        "answers": Output("What each model makes of each item of the tasks.", ANSWERS),
    },
    run=run,
    panels=panels,
    externals=externals,
    requires=(
        Requirement(
            ("tokenizer.learned_bytes", "tokenizer.digits", "pack.sequence_length"), _prompts_fit
        ),
        Requirement(("dedup.validation_fraction",), _validation_documents),
        Requirement(("index.answers?",), _index_is_there),
        Requirement(("dedup.validation_fraction?", "examples.seed?"), _something_to_score),
    ),
    reproducible=False,  # the last digits depend on device, threads and batch
    libraries=("torch", "transformers", "tokenizers", "numpy", "jinja2", "lm-eval"),
    code=("llm.evaluation.__main__",),
)
