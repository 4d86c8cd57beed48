"""A stage is declared in its own file and listed in one place; all else follows from that."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from deployments.bootstrap import declared
from flows.cli import chatting, chosen_models
from flows.planning import StageName
from tasks.engine.declare import Input
from tasks.engine.run.chain import chain
from tasks.engine.stage.stage import Stage
from tasks.engine.stage.stage import registry as registered
from tasks.registry import MODEL_STAGES, STAGES
from tasks.stages import dpo

ROOT = Path(__file__).parents[2]
TOY = replace(
    dpo.STAGE,
    name="toy",
    inputs={"model": Input(("dpo.model", "sft.model", "pretrain.model"), "To start from.")},
    makes_model="toy",
)


@pytest.fixture
def with_toy() -> Mapping[str, Stage]:
    """The registry with one more line: a method of alignment behind dpo."""
    own = [importlib.import_module(f"tasks.stages.{name}").STAGE for name in STAGES]
    own.insert(list(STAGES).index("dpo") + 1, TOY)
    return registered(own)


def test_every_file_that_declares_a_stage_is_listed() -> None:
    folder = ROOT / "tasks" / "stages"
    declaring = {path.stem for path in folder.glob("*.py") if "\nSTAGE = " in path.read_text()}
    assert declaring == set(STAGES)


def test_stages_stand_after_those_they_read_from() -> None:
    names = list(STAGES)
    for name, stage in STAGES.items():
        for declared_input in stage.inputs.values():
            for source in declared_input.sources:
                parent, _, output = source.partition(".")
                assert names.index(parent) < names.index(name)
                assert output in STAGES[parent].outputs


def test_a_stage_that_makes_a_model_has_it_as_an_output() -> None:
    assert MODEL_STAGES == ("pretrain", "sft", "dpo", "kto", "rlhf")
    called = ["base", "sft", "dpo", "kto", "rlhf"]
    assert [STAGES[name].makes_model for name in MODEL_STAGES] == called
    for name in MODEL_STAGES:
        assert STAGES[name].outputs["model"].schema is None


def test_one_more_model_is_evaluated_and_exported(with_toy: Mapping[str, Stage]) -> None:
    read = with_toy["evaluate"].inputs
    assert list(read)[-6:] == ["base", "sft", "dpo", "toy", "kto", "rlhf"]
    assert read["toy"].sources == ("toy.model",)
    assert read["toy"].optional
    assert read["base"].optional  # a recipe may start from a model of others
    assert list(with_toy["judge"].inputs)[-6:] == ["base", "sft", "dpo", "toy", "kto", "rlhf"]
    exported = with_toy["export"].inputs["model"]
    assert exported.sources == (
        *("rlhf.model", "kto.model", "toy.model", "dpo.model", "sft.model", "pretrain.model"),
    )
    present = ["source", "clean", "dedup", "tokenizer", "pack", "pretrain", "toy", "export"]
    configs = {name: with_toy[name].config.model_construct() for name in present}
    assert chain(with_toy, configs).wiring["export"]["model"] == ("toy", "model")


def test_one_more_stage_is_reported_on_where_it_runs(with_toy: Mapping[str, Stage]) -> None:
    chapters = list(with_toy["report"].inputs)
    assert chapters[chapters.index("pretrain") :] == [
        *(
            "pretrain",
            "examples",
            "sft",
            "reward",
            "pairs",
            "dpo",
            "toy",
            "kto",
            "rlhf",
            "evaluate",
            "judge",
            "export",
        )
    ]
    assert with_toy["report"].inputs["toy"].sources == ("toy.model",)
    assert with_toy["report"].inputs["toy"].whole


def test_one_more_stage_is_in_every_list(
    with_toy: Mapping[str, Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get_args(StageName) == tuple(STAGES)
    monkeypatch.setattr("deployments.bootstrap.STAGES", with_toy)
    (entry,) = (entry for entry in declared() if entry["stage"] == "toy")
    assert entry["name"].endswith("-toy")
    assert entry["entrypoint"] == "flows/stages.py:toy"


def test_one_talks_to_the_last_model_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def built(recipe: str, channel: str, stages: tuple[str, ...]) -> None:
        asked.append(stages)
        raise LookupError

    monkeypatch.setattr(chosen_models, "first_built", built)
    monkeypatch.setattr(chatting, "MODEL_STAGES", (*MODEL_STAGES, "toy"))
    with pytest.raises(LookupError):
        chatting.chat()
    assert asked == [("toy", "rlhf", "kto", "dpo", "sft")]


def test_a_method_is_named_in_its_own_files_and_in_the_registry() -> None:
    """What one more method touches: these files, and its page in docs/stages."""
    found = {
        path.relative_to(ROOT).as_posix()
        for part in ("deployments", "flows", "tasks", "llm")
        for path in (ROOT / part).rglob("*")
        if path.suffix in (".py", ".yaml") and "recipes" not in path.parts
        if re.search(r"(?<![\w/])dpo(?!\w)", _code(path.read_text()))
    }
    # What starts a method finds it by its name; what may start from its model names that.
    own = {"llm/alignment/methods/dpo.py", "llm/alignment/methods/dpo_run.py"}
    own |= {"tasks/stages/rlhf.py"}
    assert found <= {"tasks/registry.py", "tasks/stages/dpo.py", *own}


def _code(text: str) -> str:
    """Without comments and docstrings."""
    return re.sub(r'""".*?"""|#[^\n]*', "", text, flags=re.DOTALL)


def test_the_list_of_stages_in_the_readme_is_the_registry() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(docs/stages/(\w+)\.md\)", table)
    chapters = [name for name, read in STAGES["report"].inputs.items() if read.sources]
    assert linked == [*chapters, "report"]


@pytest.mark.parametrize(
    ("asked", "evaluated", "wired"),
    [(True, True, ("evaluate", "scores")), (False, True, None), (True, False, None)],
)
def test_an_input_is_read_where_a_field_asks_for_it(
    asked: bool, evaluated: bool, wired: tuple[str, str] | None
) -> None:
    present = ["source", "clean", "dedup", "tokenizer", "pack", "pretrain", "export"]
    configs = {
        name: STAGES[name].config.model_construct()
        for name in [*present, *(["evaluate"] if evaluated else [])]
    }
    configs["export"] = STAGES["export"].config.model_validate({"card_scores": asked})
    found = chain(STAGES, configs)
    assert found.wiring["export"].get("scores") == wired
    assert ("evaluate" in found.parents("export")) is (wired is not None)
