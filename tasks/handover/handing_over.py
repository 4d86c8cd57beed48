"""A tuning run of a recipe as a folder that another program trains from."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from llm.alignment.checks import check_context
from llm.alignment.data import Limit
from llm.alignment.handover.axolotl import (
    MODEL,
    TRAIN_ROWS,
    TUNED,
    VALIDATION_ROWS,
    HandoverError,
    axolotl_config,
)
from llm.alignment.handover.rows import write_rows
from llm.alignment.run_file import Run, parse_run, run_kind
from llm.foreign.bring import bring
from llm.foreign.folder import context_in
from llm.tables import TRAIN, VALIDATION
from llm.tokens.chat import ChatEncoder
from tasks.engine.run.execute import BuildRequest
from tasks.stages.alignment import TuningConfig, rows_of, run_settings
from tasks.stages.sft_start import start_folder, template_path

RECORD, CONFIG, README = "handover.json", "axolotl.yaml", "README.md"


@dataclass(frozen=True)
class HandedOver:
    """What lies in the folder.

    Attributes:
        rows: by split.
    """

    folder: Path
    rows: dict[str, int]


def hand_over(request: BuildRequest, recipe: str, folder: Path) -> HandedOver:
    """Write the starting model, the rows, the config and how to go on.

    Args:
        request: of a stage that tunes on examples, its inputs built.
        recipe: what a person calls it, for the commands in the README.

    Raises:
        HandoverError: the folder has something in it, or the stage cannot be handed over.
        ContextError: rows may be longer than the model's context.
    """
    stage = request.stage.name
    if not isinstance(request.config, TuningConfig):
        raise HandoverError(f"{stage} tunes no model on examples, and cannot be handed over")
    if run_kind(stage).axolotl is Run.axolotl:
        raise HandoverError(f"Axolotl is not handed {stage}: only what it is told as it is here")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HandoverError(f"{folder} is not an empty folder; name another")
    data = {name: artifact.data(output) for name, (artifact, output) in request.inputs.items()}
    model = folder / MODEL
    brought = "model" not in data
    source = start_folder(request.externals) if brought else data["model"].folder()
    if getattr(request.config, "weights", None):
        raise HandoverError(
            f"Axolotl draws every row once a pass; {stage}.weights cannot be handed over"
        )
    rows_read = rows_of(*(output for name, output in data.items() if name != "model"))
    told = {field.name for field in fields(run_kind(stage))}
    withheld = type(request.config).model_fields.keys() - told
    settings = run_settings(stage, request.config, withheld)
    # The folder has the model as it was brought.
    settings |= dict.fromkeys({"start_from", "chat_template"} & settings.keys(), "")
    settings |= {
        "model": str(model),
        "examples": rows_read.files,
        "output": "",
        "results": "",
        "scratch": "",
        "adopted": "",
    }
    run = parse_run(settings, f"{recipe}: {stage}")
    context = context_in(source)
    limit = Limit(run.max_length or context, run.cut)
    check_context(limit.tokens, context)
    if brought:
        _bring(source, template_path(request.externals), model)
    else:
        shutil.copytree(source, model)
    files = {TRAIN: folder / TRAIN_ROWS, VALIDATION: folder / VALIDATION_ROWS}
    paths = [Path(path) for path in run.examples]
    chat = ChatEncoder(model)
    rows = write_rows(paths, chat, limit, files, settings.get("learn") == "last")
    if not rows[VALIDATION]:
        files[VALIDATION].unlink()
    config = axolotl_config(run, limit.tokens, chat.turn_end, bool(rows[VALIDATION]))
    (folder / CONFIG).write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    record = {
        "recipe": recipe,
        "stage": stage,
        "build_id": request.build_id,
        "inputs": {name: record.data_id for name, record in request.records().items()},
        "config": request.config.identity(),
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (folder / README).write_text(_readme(recipe, stage, rows), encoding="utf-8")
    return HandedOver(folder, rows)


def _bring(source: Path, template: str, model: Path) -> None:
    """Lay a model of others out in a folder, files and not links."""
    with tempfile.TemporaryDirectory() as scratch:
        brought = Path(scratch) / MODEL
        bring(source, brought, Path(template) if template else None)
        shutil.copytree(brought, model)


def _readme(recipe: str, stage: str, rows: dict[str, int]) -> str:
    return f"""# {stage} of {recipe}, for Axolotl

    cd FOLDER            # this one: paths in {CONFIG} are relative to it
    axolotl train {CONFIG}

| | |
|---|---|
| `{MODEL}/` | the model to start from: transformers loads it; its chat template is beside it |
| `{TRAIN_ROWS}`, `{VALIDATION_ROWS}` | {rows[TRAIN]:,} and {rows[VALIDATION]:,} rows |
| `{CONFIG}` | the settings of the recipe, in Axolotl's words |
| `{RECORD}` | which build of Ingot this is; `ingot adopt` compares it |

The tuned model comes to lie in `{TUNED}/`. Of LoRA's adapters make a model first
(`axolotl merge-lora {CONFIG}`). Then take it back, to be evaluated, compared and served as any
other is:

    ingot adopt FOLDER --recipe {recipe}
"""
