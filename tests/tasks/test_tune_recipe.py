"""The recipe `tune`, from examples to report, on a model of each kind that another program made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm.tokens.chat import ChatEncoder
from tasks.engine.errors import RecipeError
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.run.requirements import require
from tasks.engine.store.store import Store
from tasks.recipe import load
from tasks.registry import STAGES
from tests.llm.alignment.tiny_run import facts
from tests.llm.foreign_models import KINDS, PLAIN, foreign_folder


def rows_in(folder: Path) -> list[str]:
    """Files of instructions and of preferences; the recipe\'s fields that name them."""
    instructions, preferences = folder / "instructions.jsonl", folder / "preferences.jsonl"
    pairs = [(question, answer[:60]) for question, answer in facts()]
    lines = [{"instruction": q, "input": "", "output": a} for q, a in pairs]
    instructions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    lines = [{"prompt": q, "chosen": f"Please: {a}", "rejected": f"No. {a}"} for q, a in pairs]
    preferences.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [
        f"examples.instruction_files=[{instructions}]",
        f"examples.preference_files=[{preferences}]",
        "examples.validation_fraction=0.2",
    ]


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", KINDS)
def test_from_examples_to_report(tmp_path: Path, kind: str) -> None:
    folder = foreign_folder(kind, tmp_path / kind)
    changes = [*rows_in(tmp_path), f"sft.start_from={folder}"]
    if kind == "gpt2":
        (tmp_path / "plain.jinja").write_text(PLAIN)
        changes.append(f"sft.chat_template={tmp_path / 'plain.jinja'}")
    changes += ["sft.learning_rate=0.02", "sft.batch_size=8", "dpo.batch_size=8"]
    changes += ["evaluate.new_tokens=8", "export.new_tokens=8"]
    recipe = load("tune", changes)
    require(STAGES, recipe.configs, "tune")
    store = Store(str(tmp_path / "home"))
    wired = chain(STAGES, recipe.configs)
    done = build(Planner(wired, recipe.configs, recipe.name, store, Selection()))
    assert list(done) == ["examples", "sft", "dpo", "evaluate", "export", "report"]
    sft = done["sft"].artifact
    assert sft.facts["start_from"] == kind
    assert sft.facts["validation_loss_after"] < sft.facts["validation_loss_before"]
    scores = done["evaluate"].artifact.data("scores").table().to_pylist()
    measured = {(row["model"], row["metric"]) for row in scores}
    for model in ("sft", "dpo"):
        assert {(model, "completion_loss"), (model, "preference_accuracy")} <= measured
    checks = done["export"].artifact.data("parity").table().to_pylist()
    assert {row["check"] for row in checks} == {"logits", "greedy", "tokenizer", "chat_template"}
    assert all(row["passed"] for row in checks)
    exported = done["export"].artifact.data("model").folder()
    assert f"| started_from | {kind} |" in (exported / "README.md").read_text()
    chat, first = ChatEncoder(exported), ChatEncoder(sft.data("model").folder())
    asked = [{"role": "user", "content": "Who?"}]
    assert chat.prompt(asked) == first.prompt(asked)
    page = done["report"].artifact.data("report").folder() / "index.html"
    assert kind in page.read_text(encoding="utf-8")


def test_without_a_model_to_start_from() -> None:
    with pytest.raises(RecipeError, match=r"add a section 'pretrain', set sft\.start_from, or"):
        chain(STAGES, load("tune", ["sft.start_from=''"]).configs)
    configs = dict(load("tune").configs)
    del configs["sft"], configs["dpo"]
    with pytest.raises(RecipeError, match="evaluate reads at least one model, and the recipe"):
        chain(STAGES, {name: configs[name] for name in ("examples", "evaluate")})
    with pytest.raises(RecipeError, match="belongs to a model named by start_from"):
        load("tune", ["sft.start_from=''", "sft.chat_template=plain.jinja"])
