"""`ingot compare`, `ingot promote --if-better` and the flow `compare`, on known evaluations."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows import compare as flow
from flows.cli.main import application
from llm.evaluation.differences.pairing import DifferentItemsError
from tasks.comparison.comparing import ComparisonError
from tasks.comparison.promotion import NotBetterError
from tasks.contenders.by_name import contenders
from tasks.engine.errors import MissingInputError, RecipeError
from tasks.engine.run.execute import BuildRequest
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tests.flows.runs import artifacts
from tests.llm.evaluation.tiny_models import model_folder, tiny_model
from tests.tasks.stages.test_evaluate_and_export_stages import EVALUATE
from tests.tasks.stand_in_evaluations import bits, evaluated, right
from tests.tasks.stand_in_models import CONTEXT, StandInConfig, built


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("INGOT_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def build(home: Path, change: float, share: float, recipe: str = "mine", number: int = 0) -> None:
    models = {"base": [bits(change + 0.5, 7)], "sft": [bits(change, number), right(share)]}
    evaluated(home, recipe, models, sft=number)


def answer(*arguments: str) -> Result:
    return CliRunner().invoke(application(), arguments, env={"COLUMNS": "200"})


def unmeasured(request: BuildRequest, store: Store) -> Artifact:
    raise AssertionError("nothing is to be measured")


def promoted(home: Path) -> str:
    found = channels.resolve(Store(str(home)), "mine", "evaluate", "prod")
    assert found is not None
    return found.folder


def test_every_way_to_name_a_model(home: Path, tmp_path: Path) -> None:
    build(home, 0, 0.5)
    done = evaluated(home, "other", {"base": [bits(0.2)]}, pretrain=4)
    assert answer("promote", "prod", "--recipe", "mine").exit_code == 0
    old = done["evaluate"]
    folder = home / old.folder
    build_id = old.manifest.build_id
    (tmp_path / "other").mkdir()  # a folder called like a recipe is no path
    names = {
        "mine": "sft",
        "mine@prod": "sft",
        "mine@prod:base": "base",
        "other": "base",
        f"evaluate/{build_id}": "base",
        f"evaluate/{build_id[:16]}/0001:base": "base",
        f"pretrain/{done['pretrain'].manifest.build_id}": "base",
        str(folder): "base",
        str(folder / "manifest.json"): "base",
        f"{folder / 'manifest.json'}:base": "base",
        str(folder.relative_to(tmp_path)): "base",
    }
    found = contenders(Store(str(home)), list(names), unmeasured)
    assert [one.model for one in found] == list(names.values())
    assert {one.evaluation.folder for one in found[3:]} == {old.folder}


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("nobody", MissingInputError, "'nobody' has no evaluate as 'latest' yet; run `ingot run"),
        ("mine@beta", MissingInputError, "`ingot promote beta --recipe mine` sets it"),
        ("mine:dpo", MissingInputError, "measured no model 'dpo'; it has base, sft"),
        ("evaluate/0123", MissingInputError, "no artifact 'evaluate/0123' in"),
        ("./models", MissingInputError, "nor the config.json of a model is"),
        ("gone/manifest.json", MissingInputError, "nor the config.json of a model is"),
        ("models/manifest.json", MissingInputError, "nor the config.json of a model is"),
        ("odd/manifest.json", MissingInputError, "not in the folder of an artifact"),
        ("gone.yaml", RecipeError, "no recipe 'gone.yaml'"),
        ("x" * 300 + "/y", RecipeError, "no recipe"),
    ],
)
def test_names_that_mean_nothing(
    home: Path, tmp_path: Path, name: str, error: type[Exception], says: str
) -> None:
    build(home, 0, 0.5)
    (tmp_path / "models").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "manifest.json").write_text("{}")
    found = answer("compare", "mine", name)
    assert found.exit_code == 1
    assert type(found.exception) is error
    assert says in str(found.exception)


def test_what_is_printed(home: Path) -> None:
    build(home, 0, 0.5)
    build(home, -0.1, 0.51, "other", 1)
    found = answer("compare", "mine", "other")
    assert found.exit_code == 0, found.output
    lines = found.output.splitlines()
    assert lines[0].split() == [
        *("measure", "model", "verdict", "change", "(95", "%)", "p", "mine:sft", "this", "model"),
        *("n", "could", "show"),
    ]
    assert "+0.01 [-0.00684, +0.025]" in found.output
    assert lines[2].split()[2:4] == ["no", "difference"]
    assert lines[2].split()[-1] == "0.04"
    assert lines[-1] == "other:sft against mine:sft: better by bits_per_byte"
    record = json.loads(answer("compare", "mine", "other", "--json").output)
    assert [row["verdict"] for row in record["rows"]] == ["better", "no difference"]
    assert record["rows"][1]["corrected_p"] == 0.5
    one = json.loads(
        answer("compare", "mine", "other", "--measure", "bits_per_byte", "--json").output
    )
    assert len(one["rows"]) == 1
    assert answer("compare", "mine").exception.__class__ is ComparisonError


def test_different_items_are_told(home: Path) -> None:
    build(home, 0, 0.5)
    evaluated(home, "other", {"sft": [bits(0, n=90), right(0.5)]})
    told = answer("compare", "mine", "other")
    assert "not compared: bits_per_byte: the two models were measured on different" in told.output
    refused = answer("compare", "mine", "other", "--measure", "bits_per_byte")
    assert isinstance(refused.exception, DifferentItemsError)
    shared = answer("compare", "mine", "other", "--measure", "bits_per_byte", "--shared-items")
    assert "30 items that only one was measured on left out" in " ".join(shared.output.split())


def test_a_better_model_is_promoted_and_no_other(home: Path) -> None:
    build(home, 0, 0.5, number=1)
    told = answer("promote", "prod", "-r", "mine", "--if-better", "bits_per_byte")
    assert "there is nothing to be better than" in told.output
    first = promoted(home)

    again = answer("promote", "prod", "-r", "mine", "--if-better", "bits_per_byte")
    assert isinstance(again.exception, NotBetterError)
    assert "is what was evaluated last already" in str(again.exception)

    build(home, 0.001, 0.5, number=2)
    alike = answer("promote", "prod", "-r", "mine", "--if-better", "bits_per_byte")
    assert isinstance(alike.exception, NotBetterError)
    assert "prod stays as it is: mine:sft is not better by bits_per_byte" in str(alike.exception)
    assert re.search(r"no difference, of which 0\.\d+ could show$", str(alike.exception))
    assert promoted(home) == first

    build(home, -0.1, 0.4, number=3)
    guarded = ("--if-better", "bits_per_byte", "--not-worse", "arc_easy")
    worse = answer("promote", "prod", "-r", "mine", *guarded)
    assert "worse by arc_easy: 0.5 -> 0.4" in str(worse.exception)
    assert promoted(home) == first

    build(home, -0.1, 0.49, number=4)  # two questions fewer, which may be chance
    better = answer("promote", "prod", "-r", "mine", *guarded)
    assert better.exit_code == 0, better.output
    assert promoted(home) != first
    unasked = answer("promote", "prod", "-r", "mine", "--if-better", "bleu")
    assert isinstance(unasked.exception, NotBetterError | ComparisonError)


def test_a_model_that_is_not_evaluated_yet_is_not_promoted(home: Path) -> None:
    build(home, 0, 0.5, number=1)
    assert answer("promote", "prod", "-r", "mine").exit_code == 0
    newer = evaluated(home, "aside", {"sft": [bits(0)]}, sft=9)["sft"]
    channels.point(Store(str(home)), "mine", newer)
    found = answer("promote", "prod", "-r", "mine", "--if-better", "bits_per_byte")
    assert isinstance(found.exception, NotBetterError)
    assert "sft was built again since evaluate measured it" in str(found.exception)


def test_the_flow_shows_its_table(home: Path, prefect_server: None) -> None:
    build(home, 0, 0.5)
    assert answer("promote", "prod", "-r", "mine").exit_code == 0
    build(home, -0.1, 0.51, number=1)
    state = flow.compare(recipe="mine", return_state=True)
    assert state.message == "mine:sft against mine@prod:sft: better by bits_per_byte"
    assert state.result()["rows"][0]["verdict"] == "better"
    shown = artifacts(state)["compare"]
    assert "### Differences" in shown
    assert "| bits\\_per\\_byte | better |" in shown
    assert "### Models" in shown
    with pytest.raises(MissingInputError, match="'mine' has no evaluate as 'beta'"):
        flow.compare(recipe="mine", models=["mine", "mine@beta"])


@pytest.mark.long
def test_a_folder_beside_an_evaluation(home: Path, tmp_path: Path, prefect_server: None) -> None:
    tiny = StandInConfig()
    built(home, dedup=tiny, pretrain=tiny, evaluate=EVALUATE)
    for seed, name in enumerate(("theirs", "others"), 5):
        model_folder(tmp_path / name, tiny_model(CONTEXT, seed))

    def attempts() -> int:
        return len(list(home.glob("artifacts/evaluate/*/0*")))

    state = flow.compare(models=["test", "theirs"], return_state=True)
    [row] = state.result()["rows"]
    assert (row["model"], row["metric"]) == ("theirs", "bits_per_byte")
    assert "| theirs | artifacts/evaluate/" in artifacts(state)["compare"]
    assert attempts() == 2
    served = answer("compare", "test", "theirs", "--json")
    assert json.loads(served.stdout)["rows"] == [row]
    assert attempts() == 2
    [other] = json.loads(answer("compare", "test", "others", "--json").stdout)["rows"]
    assert other["after"] != row["after"]
    assert attempts() == 3
