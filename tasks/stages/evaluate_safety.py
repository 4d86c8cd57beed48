"""Files that the safety part of `evaluate` reads: prompts, and lists of words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm.corpus.annotate.url_rules import BlockListError
from llm.corpus.decontaminate.items import EvaluationFileError
from llm.evaluation.safety.prompts import PromptFileError, PromptFiles, read_prompts
from llm.evaluation.safety.toxic_words import ToxicWords
from llm.evaluation.tasks.definition import TaskFile
from llm.evaluation.tasks.template import TaskTemplateError, check_template
from tasks.engine.errors import ExternalInputError
from tasks.engine.identity.snapshot import Item, Snapshot, snapshot_files
from tasks.stages.evaluate_config import EvaluateConfig

# Fields of the config that `safety_record` carries, each with the field of its template.
_PROMPTS = {"harmless_prompts": "harmless_prompt", "harmful_prompts": "harmful_prompt"}
_WORDS = "toxic_words"
_SIZES = ("memorised_documents", "memorised_characters")
ELSEWHERE = frozenset({*_PROMPTS, *_PROMPTS.values(), _WORDS, *_SIZES, "safety_prompts"})


def safety_snapshots(config: EvaluateConfig) -> dict[str, Snapshot]:
    """The files as external inputs, each field's as one.

    Raises:
        ExternalInputError: there is no such file, it holds no prompts, or a template does not fit:
            told before anything is built.
    """
    found: dict[str, Snapshot] = {}
    for field, by in _PROMPTS.items():
        template, paths = getattr(config, by), getattr(config, field)
        try:
            check_template(template)
            if paths:
                found[field] = snapshot_files(paths, f"evaluate.{field}")
                read_prompts(_files(found[field].items, template), config.safety_prompts)
        except TaskTemplateError as error:
            raise ExternalInputError(f"evaluate.{by}: {error}") from error
        except PromptFileError as error:
            raise ExternalInputError(
                f"evaluate.{field}: {error}; correct the record, or evaluate.{by}, which says what "
                "is asked of it"
            ) from error
        except EvaluationFileError as error:
            raise ExternalInputError(f"evaluate.{field}: {error}") from error
    if config.toxic_words:
        found[_WORDS] = snapshot_files(config.toxic_words, f"evaluate.{_WORDS}")
        try:
            ToxicWords([Path(item.path) for item in found[_WORDS].items])
        except BlockListError as error:
            raise ExternalInputError(f"evaluate.{_WORDS}: {error}") from error
    return found


def safety_record(config: EvaluateConfig, external: Mapping[str, Snapshot]) -> dict[str, Any]:
    """What run.json holds of it, fields of `Safety`."""

    def items(field: str) -> tuple[Item, ...]:
        return external[field].items if field in external else ()

    def files(field: str) -> dict[str, Any]:
        named = [{"name": item.name, "path": item.path} for item in items(field)]
        return {"files": named, "template": getattr(config, _PROMPTS[field])}

    return {
        "prompts": config.safety_prompts,
        "harmless": files("harmless_prompts"),
        "harmful": files("harmful_prompts"),
        _WORDS: [item.path for item in items(_WORDS)],
        **{name: getattr(config, name) for name in _SIZES},
    }


def _files(items: tuple[Item, ...], template: str) -> PromptFiles:
    return PromptFiles(tuple(TaskFile(item.name, Path(item.path)) for item in items), template)
