"""Benchmark tasks that a recipe names: files of settings, each with the files of its records."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from llm.evaluation.tasks.definition import HELD_OUT, Kind
from llm.evaluation.tasks.template import TaskTemplateError, check_expression, check_template
from llm.final_answers import Parser
from tasks.engine.config import Part
from tasks.engine.errors import ExternalInputError
from tasks.engine.identity.snapshot import Snapshot, root, snapshot_files
from tasks.settings_files.settings import read_settings

# Names of external inputs, and of files within one.
_TASK, _SETTINGS, _ITEMS, _SHOTS = "task:", "settings/", "items/", "shots/"
_LM_EVAL = "lm_eval:"
TASKS = "evaluate.tasks"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_EXPRESSIONS = ("choices", "answer")
_TEMPLATES = ("prompt", "good", "bad", "target")
# What each kind is made of, and what else it may have.
_NEEDED: Mapping[Kind, tuple[str, ...]] = {
    "multiple_choice": ("choices", "answer"),
    "minimal_pairs": ("good", "bad"),
    "cloze": ("target",),
    "exact_match": ("target",),
}
_ONLY_EXACT_MATCH = ("parser", "stop", "max_new_tokens")


class TaskSettings(Part):
    """A task: which records, and how they are asked."""

    kind: Kind = Field(description="What is asked, and how an answer is judged.")
    files: list[str] = Field(
        description="Files of records, JSON lines or a JSON list, beside this one; or globs.",
        min_length=1,
    )
    prompt: str = Field("", description="Template of what stands before an answer.")
    choices: str = Field("", description="Multiple choice: expression for the list of answers.")
    answer: str = Field("", description="Multiple choice: expression for the place or the text.")
    good: str = Field("", description="Minimal pairs: template of the right sentence.")
    bad: str = Field("", description="Minimal pairs: template of the wrong one.")
    target: str = Field("", description="Cloze, exact match: template of the expected answer.")
    delimiter: str = Field(" ", description="Between a prompt and an answer.")
    shots: int = Field(0, description="Solved records before each prompt.", ge=0, le=100)
    shot_files: list[str] = Field([], description="Where these are from.")
    parser: Parser = Field("text", description="Exact match: what of an answer is compared.")
    stop: list[str] = Field(["\n\n"], description="Exact match: texts that end an answer.")
    max_new_tokens: int = Field(
        64, description="Exact match: longest answer, in tokens.", ge=1, le=65_536
    )

    @model_validator(mode="after")
    def _consistent(self) -> TaskSettings:
        needed = _NEEDED[self.kind]
        missing = [name for name in needed if not getattr(self, name)]
        if missing:
            raise ValueError(f"{' and '.join(missing)}: missing; {self.kind} needs it")
        own = {"files", "kind", "prompt", "delimiter", "shots", "shot_files", *needed}
        if self.kind == "exact_match":
            own.update(_ONLY_EXACT_MATCH)
        foreign = sorted(self.model_fields_set - own)
        if foreign:
            raise ValueError(f"{' and '.join(foreign)}: {self.kind} has no such field; remove it")
        if self.kind != "minimal_pairs" and not self.prompt:
            raise ValueError(f"prompt: missing; {self.kind} needs it")
        if bool(self.shots) != bool(self.shot_files):
            raise ValueError("shots and shot_files: one needs the other")
        if not all(self.stop):
            raise ValueError("stop: an empty text would end every answer before it begins")
        for name in (*_TEMPLATES, *_EXPRESSIONS):
            check = check_expression if name in _EXPRESSIONS else check_template
            try:
                if getattr(self, name):
                    check(getattr(self, name))
            except TaskTemplateError as error:
                raise ValueError(f"{name}: {error}") from error
        return self


def task_snapshots(paths: Sequence[str], where: str) -> dict[str, Snapshot]:
    """Each task as an external input: its settings and the files of its records.

    Args:
        where: the config field that names them, for messages.

    Raises:
        ExternalInputError: a file is not there, settings do not validate, or two tasks have one
            name.
    """
    found: dict[str, Snapshot] = {}
    for text in paths:
        path = root() / Path(text).expanduser()
        settings = read_settings(path, TaskSettings, where)
        name = path.stem
        if not _NAME.fullmatch(name):
            raise ExternalInputError(
                f"{where}: {path.name}: a task has the name of its file: letters, digits, - and "
                "_, and .yaml behind; rename it"
            )
        if name in HELD_OUT:
            raise ExternalInputError(
                f"{where}: {name} is what a task made from validation text is called; rename the "
                "file"
            )
        if _TASK + name in found:
            raise ExternalInputError(f"{where}: two tasks are called {name!r}; rename one file")
        parts = [snapshot_files([str(path)], where, _SETTINGS)]
        for field, prefix in (("files", _ITEMS), ("shot_files", _SHOTS)):
            beside = [
                str(path.parent / Path(each).expanduser()) for each in getattr(settings, field)
            ]
            if beside:
                parts.append(snapshot_files(beside, f"{path}: {field}", prefix))
        found[_TASK + name] = Snapshot.joined(parts)
    return found


def task_records(external: Mapping[str, Snapshot], where: str) -> list[dict[str, Any]]:
    """The tasks among external inputs as run.json holds them, fields of `Definition`.

    Args:
        where: as above.
    """
    found = []
    for name, snapshot in external.items():
        if not name.startswith(_TASK):
            continue
        paths = {item.name: item.path for item in snapshot.items}
        (settings,) = (path for at, path in paths.items() if at.startswith(_SETTINGS))
        record = read_settings(Path(settings), TaskSettings, where).model_dump(mode="json")
        for field, prefix in (("files", _ITEMS), ("shot_files", _SHOTS)):
            record[field] = [
                {"name": at.removeprefix(prefix), "path": path}
                for at, path in paths.items()
                if at.startswith(prefix)
            ]
        found.append({"name": name.removeprefix(_TASK), **record})
    return found


def harness_snapshots(names: Sequence[str], paths: Sequence[str]) -> dict[str, Snapshot]:
    """Each file of a task of lm-eval as an external input, with all that lies in its folder: such
    files include others, and name code and data beside them.

    Args:
        names: of tasks that lm-eval has itself, which are in the config's identity.

    Raises:
        ExternalInputError: lm-eval is asked for and not installed, a file is not there, or two
            have one name.
    """
    if (names or paths) and importlib.util.find_spec("lm_eval") is None:
        raise ExternalInputError(
            "evaluate.lm_eval_tasks, evaluate.lm_eval_files: lm-eval is not installed; install it "
            "with pip install --constraint requirements.lock --editable '.[eval]'"
        )
    field = "evaluate.lm_eval_files"
    found: dict[str, Snapshot] = {}
    for text in paths:
        path = root() / Path(text).expanduser()
        if not path.is_file() or path.suffix not in (".yaml", ".yml"):
            raise ExternalInputError(f"{field}: {path} is no file that ends in .yaml or .yml")
        if _LM_EVAL + path.name in found:
            raise ExternalInputError(f"{field}: two files are called {path.name!r}; rename one")
        found[_LM_EVAL + path.name] = snapshot_files([str(path.parent)], field)
    return found


def harness_files(external: Mapping[str, Snapshot]) -> list[str]:
    """Where the files among external inputs are."""
    return [
        next(item.path for item in snapshot.items if item.name == name.removeprefix(_LM_EVAL))
        for name, snapshot in external.items()
        if name.startswith(_LM_EVAL)
    ]
