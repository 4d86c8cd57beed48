"""The same tasks through lm-eval, our models behind it and transformers': equal to the item."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from benchmarks.evaluation_sets import (
    DATA,
    SETS,
    own_task,
    write_harness_task,
    write_records,
)
from llm.evaluation.tasks.answers import Answer
from llm.evaluation.tasks.harness import HarnessTaskError, HarnessTasks
from llm.evaluation.tasks.subject import OwnModel
from llm.evaluation.tasks.suite import OwnTasks
from llm.model.scoring import Report
from llm.tokens.chat import ChatEncoder
from tests.llm.evaluation.tiny_models import model_folder, tiny_model

CONTEXT, ITEMS = 160, 16
LIKELIHOODS = ("arc_easy", "copa", "lambada", "blimp_passive_1")
THEIRS: dict[str, Any] = {
    **{name: SETS[name].theirs for name in LIKELIHOODS},
    "gsm8k": {
        "output_type": "generate_until",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["Question:", "\n\n"], "max_gen_toks": 12},
        "metric_list": [{"metric": "exact_match", "ignore_case": True}],
        "filter_list": [
            {
                "name": "flexible",
                "filter": [
                    {"function": "regex", "group_select": -1, "regex_pattern": "(-?[0-9]+)"},
                    {"function": "take_first"},
                ],
            }
        ],
    },
    "texts": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{question}} {{answer}} {{question}} {{answer}}",
        "metric_list": [{"metric": "bits_per_byte"}, {"metric": "word_perplexity"}],
    },
}
FILES = {name: SETS[name].file for name in LIKELIHOODS} | dict.fromkeys(
    ("gsm8k", "texts"), "gsm8k_test.jsonl.gz"
)


def no_report(what: str) -> Report:
    return lambda done, total: None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and the first items of each set with a task of lm-eval's beside it."""
    made = tmp_path_factory.mktemp("harness")
    model_folder(made / "base", tiny_model(CONTEXT))
    for name, settings in THEIRS.items():
        if not (DATA / FILES[name]).is_file():
            pytest.skip("shared/data/eval is not beside the checkout")
        write_records(made, name, FILES[name], ITEMS)
        write_harness_task(made, name, settings)
    return made


@pytest.fixture(scope="module")
def subject(folder: Path) -> OwnModel:
    base = folder / "base"
    return OwnModel(tiny_model(CONTEXT), ChatEncoder(base))


@pytest.fixture(scope="module")
def ours(folder: Path, subject: OwnModel) -> Mapping[str, list[Answer]]:
    tasks = HarnessTasks([str(folder / f"{name}.yaml") for name in THEIRS], 0)
    return {each.task: each.outcome.answers for each in tasks.ask(subject, 512, no_report)}


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Mapping[str, list[Mapping[str, Any]]]:
    """What `lm_eval --model hf` records of the same folder."""
    model = HFLM(pretrained=str(folder / "base"), dtype="float32", device="cpu", batch_size=8)
    with contextlib.chdir(folder):
        tasks = TaskManager(include_defaults=False).load([f"{name}.yaml" for name in THEIRS])
    found = evaluate(model, tasks, bootstrap_iters=0)
    samples: dict[str, list[Mapping[str, Any]]] = found["samples"]
    return samples


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_log_likelihoods_are_those_of_transformers(
    ours: Mapping[str, list[Answer]], theirs: Mapping[str, list[Mapping[str, Any]]], name: str
) -> None:
    assert len(ours[name]) == len(theirs[name]) == ITEMS
    for one, other in zip(ours[name], theirs[name], strict=True):
        logprobs = [reply[0][0] for reply in other["resps"]]
        np.testing.assert_allclose(one.logprobs, logprobs, rtol=1e-4)
        for metric in other["metrics"]:
            if metric != "perplexity":
                assert one.verdicts[metric] == other[metric]
    assert one.item == f"{name}:{ITEMS - 1}"


def test_answers_and_texts_are_those_of_transformers(
    ours: Mapping[str, list[Answer]], theirs: Mapping[str, list[Mapping[str, Any]]]
) -> None:
    for one, other in zip(ours["gsm8k"], theirs["gsm8k"], strict=True):
        assert one.given == other["resps"][0][0]
        assert one.verdicts == {"exact_match,flexible": other["exact_match"]}
    for one, other in zip(ours["texts"], theirs["texts"], strict=True):
        logprob, size = other["bits_per_byte"]
        assert one.weight == size
        assert one.verdicts == {"bits_per_byte": pytest.approx(-logprob / np.log(2), rel=1e-4)}
    longest = max(len(each["doc"]["answer"]) for each in theirs["texts"])
    assert longest > 200  # several windows


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_our_own_kinds_judge_alike(
    folder: Path, subject: OwnModel, ours: Mapping[str, list[Answer]], name: str
) -> None:
    own = OwnTasks([own_task(name, folder / f"{name}.jsonl")], 0)
    (found,) = own.ask(subject, 512, no_report)
    assert found.outcome.left_out == {}
    for one, other in zip(found.outcome.answers, ours[name], strict=True):
        assert (one.prompt, one.choices) == (other.prompt, other.choices)
        assert one.logprobs == pytest.approx(other.logprobs, rel=1e-5)
        assert one.given == other.given
        assert other.verdicts.items() <= one.verdicts.items() or name == "lambada"
        assert one.verdicts["acc"] == other.verdicts["acc"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"dataset_kwargs": {"data_files": {"test": "../elsewhere.jsonl"}}},
            "is not beside it; put it",
        ),
        ({"dataset_path": "nobody/nothing", "dataset_kwargs": None}, "cannot be loaded: .*network"),
        ({"generation_kwargs": {"do_sample": True, "temperature": 0.7}}, "it draws its answers"),
        ({"generation_kwargs": {"max_gen_toks": 500}}, "500 new tokens leave no room for a prompt"),
    ],
)
def test_tasks_that_cannot_be_asked(
    folder: Path, subject: OwnModel, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    record = yaml.safe_load((folder / "gsm8k.yaml").read_text()) | change
    inner = tmp_path / "inner"
    inner.mkdir()
    for place in (inner / "gsm8k.jsonl", tmp_path / "elsewhere.jsonl"):
        place.write_bytes((folder / "gsm8k.jsonl").read_bytes())
    path = inner / "mine.yaml"
    path.write_text(yaml.safe_dump({name: v for name, v in record.items() if v is not None}))
    with pytest.raises(HarnessTaskError, match=message):
        list(HarnessTasks([str(path)], 1).ask(subject, 512, no_report))


@pytest.mark.long
def test_a_name_that_is_none(folder: Path) -> None:
    with pytest.raises(HarnessTaskError, match="lm-eval has no task 'arc_eazy'"):
        HarnessTasks(["arc_eazy"], 1)
    path = str(folder / "copa.yaml")
    with pytest.raises(HarnessTaskError, match="copa is asked twice"):
        HarnessTasks([path, path], 1)
