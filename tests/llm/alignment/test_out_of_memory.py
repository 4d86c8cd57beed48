"""What tuning and evaluation say where memory does not suffice, whoever noticed it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm.alignment import __main__ as alignment
from llm.alignment.methods import sft
from llm.alignment.run_file import parse_run
from llm.evaluation import __main__ as evaluation
from llm.evaluation import evaluation as measuring
from llm.evaluation import run_file
from llm.process.parent import StopRequest
from llm.training.devices import DoesNotFitError
from tests.llm.alignment.tiny_run import Listener, run_record

CAUSES = [MemoryError(), MemoryError("std::bad_alloc"), RuntimeError("std::bad_alloc")]


def failing(cause: Exception) -> Any:
    def fail(*_: object) -> None:
        raise cause

    return fail


@pytest.mark.parametrize("cause", CAUSES, ids=repr)
def test_tuning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: Exception) -> None:
    run = parse_run(run_record("sft", tmp_path, tmp_path, tmp_path), "test")
    monkeypatch.setattr(sft, "train", failing(cause))
    with pytest.raises(DoesNotFitError, match=r"\((MemoryError|std::bad_alloc)\); set sft.micro"):
        alignment._train(run, Listener(), StopRequest())  # type: ignore[arg-type]
    monkeypatch.setattr(sft, "train", failing(RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        alignment._train(run, Listener(), StopRequest())  # type: ignore[arg-type]


@pytest.mark.parametrize("cause", CAUSES, ids=repr)
def test_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: Exception) -> None:
    record = {
        "models": [{"name": "base", "folder": "m", "before": ""}],
        **{name: [] for name in ("documents", "instructions", "preferences")},
        **{name: [] for name in ("prompts", "continuations", "others", "attributes")},
        **{name: [] for name in ("tasks", "lm_eval_tasks", "lm_eval_files")},
        "max_items": 0,
        "held_out_items": 0,
        "rolling": False,
        "verbatim": {"index": [], "prompts": 0, "tokens": 32},
        "safety": {
            **{kind: {"files": [], "template": ""} for kind in ("harmless", "harmful")},
            "prompts": 0,
            "toxic_words": [],
            "memorised_documents": 0,
            "memorised_characters": 1,
        },
        "validation_bytes": 1,
        "max_instructions": 1,
        "max_preferences": 1,
        "max_generated": 1,
        "new_tokens": 1,
        "resamples": 1,
        "seed": 0,
        "eval_batch_tokens": 1,
        "threads": 0,
        "device": "cpu",
        "precision": "fp32",
        "results": str(tmp_path),
    }
    (tmp_path / "run.json").write_text(json.dumps(record))
    monkeypatch.setattr(measuring, "evaluate", failing(cause))
    with pytest.raises(DoesNotFitError, match=r"lower evaluate\.eval_batch_tokens"):
        evaluation._evaluate(run_file.read(tmp_path / "run.json"))
