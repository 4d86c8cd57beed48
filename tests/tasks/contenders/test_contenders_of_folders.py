"""Folders that transformers loads beside evaluated models: on the same items, and measured once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tasks.comparison.comparing import compare
from tasks.contenders.by_name import contenders
from tasks.engine.errors import ExternalInputError, IngotError, MissingInputError, TrainerError
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tests.llm.evaluation.tiny_models import model_folder, tiny_model
from tests.tasks.stages.test_evaluate_and_export_stages import EVALUATE
from tests.tasks.stages.test_evaluate_tasks import quiz
from tests.tasks.stand_in_models import CONTEXT, StandInConfig, built

STAND_IN = StandInConfig()


class Measuring:
    """Builds what is asked for, and notes what the store had."""

    def __init__(self) -> None:
        self.served: list[bool] = []

    def __call__(self, request: BuildRequest, store: Store) -> Artifact:
        done = execute(request, store)
        self.served.append(done.cached)
        return done.artifact


def never(request: BuildRequest, store: Store) -> Artifact:
    raise AssertionError("nothing is to be measured")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an evaluation, the folder of its model, and one of another."""
    root = tmp_path_factory.mktemp("folders")
    tasks = [quiz(root / "quiz")]
    settings = EVALUATE.model_copy(update={"tasks": tasks, "validation_bytes": 900})
    done = built(root / "home", dedup=STAND_IN, pretrain=STAND_IN, evaluate=settings)
    shutil.copytree(done["pretrain"].artifact.data("model").folder(), root / "same")
    model_folder(root / "other", tiny_model(CONTEXT, 5))
    return root


def test_a_folder_is_measured_on_the_items_of_the_first(root: Path) -> None:
    store, measuring = Store(str(root / "home")), Measuring()
    names = [str(root / "other"), "test", str(root / "same")]
    found = contenders(store, names, measuring)
    assert [one.label for one in found] == [names[0], "test:base", names[2]]
    rows = {
        (row.model, row.difference.metric): row.difference
        for row in compare([found[1], found[0], found[2]]).rows
    }
    own = rows[names[2], "bits_per_byte"]
    # Our forward and transformers' are one model.
    assert own.change.value == pytest.approx(0, abs=1e-4)
    assert own.change.n == len(found[1].measures["bits_per_byte"].ids)
    assert rows[names[2], "quiz/acc"].change.value == 0
    assert abs(rows[names[0], "bits_per_byte"].change.value) > 0.01
    # What only our own models are asked is no measure of a folder.
    assert "completion_loss" not in found[0].measures
    shutil.copytree(root / "same", root / "moved", dirs_exist_ok=True)
    contenders(store, ["test", str(root / "moved"), str(root / "other")], measuring)
    assert measuring.served == [False, False, True, True]


def test_what_a_folder_cannot_be_measured_by(root: Path, tmp_path: Path) -> None:
    store, other = Store(str(root / "home")), str(root / "other")
    with pytest.raises(MissingInputError, match="name a recipe or an evaluation beside it"):
        contenders(store, [other, str(root / "same")], never)
    with pytest.raises(MissingInputError, match="holds one model; leave out :base"):
        contenders(store, ["test", f"{other}:base"], never)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(TrainerError, match="is no model that transformers loads"):
        contenders(store, ["test", str(tmp_path)], Measuring())
    records = (root / "quiz" / "quiz.jsonl").read_text()
    more = json.dumps({"q": "def f3(x):", "options": ["pass", "return"], "right": 1})
    (root / "quiz" / "quiz.jsonl").write_text(f"{records}{more}\n")
    try:
        with pytest.raises(ExternalInputError, match="task:quiz is not what artifacts/evaluate/"):
            contenders(store, ["test", other], never)
    finally:
        (root / "quiz" / "quiz.jsonl").write_text(records)
    home = tmp_path / "home"
    shutil.copytree(root / "home", home)
    shutil.rmtree(home / "artifacts" / "dedup")
    with pytest.raises(IngotError, match=r"read dedup .* which is gone; `ingot run --only eval"):
        contenders(Store(str(home)), ["test", other], never)
