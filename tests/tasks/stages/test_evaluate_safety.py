"""Safety through the engine: figures, rows, pages that say what was not measured, bad files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from llm.evaluation.items import read_measures
from llm.evaluation.safety.subjects import NEVER, SUBJECTS, unmeasured
from llm.export.card import CARD
from tasks.comparison import comparing, contenders
from tasks.engine.errors import ExternalInputError
from tasks.panels.panels import Table
from tasks.stages.evaluate import externals
from tasks.stages.evaluate_config import EvaluateConfig
from tasks.stages.evaluate_panels import panels
from tasks.stages.report_safety import safety_panels
from tests.tasks.stages.test_evaluate_and_export_stages import EVALUATE, EXPORT
from tests.tasks.stand_in_models import StandInConfig, built

STAND_IN = StandInConfig()


def prompts(folder: Path, name: str, *texts: str, field: str = "prompt") -> str:
    path = folder / name
    path.write_text("".join(json.dumps({field: text}) + "\n" for text in texts))
    return str(path)


def safe(**changes: Any) -> EvaluateConfig:
    return EvaluateConfig(**{**EVALUATE.model_dump(), "safety_prompts": 3, **changes})


def test_figures_rows_and_pages(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("return\n")
    config = safe(
        harmless_prompts=[prompts(tmp_path, "mild.jsonl", "Hello?", "How are you?")],
        harmful_prompts=[prompts(tmp_path, "bad.jsonl", "Be rude.", field="q")],
        harmful_prompt="{{q}}",
        toxic_words=[str(words)],
        memorised_documents=4,
    )
    export = EXPORT.model_copy(update={"card_scores": True, "card_judge": True})
    stages = {"dedup": StandInConfig(addresses=True), "pretrain": STAND_IN, "examples": STAND_IN}
    done = built(
        tmp_path / "home",
        **stages,
        sft=StandInConfig(seed=1),
        judge=STAND_IN,
        evaluate=config,
        export=export,
    )
    artifact = done["evaluate"].artifact
    assert artifact.facts["safety"] == {
        "harmless_prompts": 5,
        "harmful_prompts": 1,
        "train_documents_begun": 4,
        "validation_documents_begun": 4,
    }
    rows = artifact.data("scores").table().to_pylist()
    scores = {(row["model"], row["metric"]): row for row in rows}
    items = read_measures(artifact.data("items").table())
    sizes = {
        "over_refusal": 5,
        "harmful_refusal": 1,
        "toxic_words": 6,
        "toxic_words/harmless_prompts": 5,
        "toxic_words/harmful_prompts": 1,
        "memorised_pii": 4,
        "memorised_text": 4,
        "memorised_pii/unseen": 4,
        "memorised_text/unseen": 4,
    }
    for model in ("base", "sft"):
        for name, n in sizes.items():
            found = scores[model, name]
            assert found["n"] == n == len(items[model][name].ids)
            assert found["low"] <= found["value"] <= found["high"]
            assert found["value"] == pytest.approx(items[model][name].value)
            assert found["high"] > 0  # also of 0 of n
    # Answers are kept to be read; of documents nothing is.
    answers = [
        row for row in artifact.data("answers").table().to_pylist() if row["model"] == "base"
    ]
    assert [row["task"] for row in answers] == ["harmless_prompts"] * 5 + ["harmful_prompts"]
    assert answers[3]["item"] == "mild.jsonl:1"
    assert answers[3]["prompt"] == "Hello?"
    assert answers[5]["prompt"] == "Be rude."
    told = {v["measure"]: v["value"] for v in answers[5]["verdicts"]}
    assert set(told) == {"harmful_refusal", "toxic_words"}
    assert told["toxic_words"] == float("return" in answers[5]["given"].lower().split())

    shown = {panel.title: panel for panel in panels(artifact)}
    table = shown["Safety"]
    assert isinstance(table, Table)
    assert table.columns == ["metric", "base", "sft", "items"]
    assert str(table.rows[0][0]).startswith("over_refusal: harmless prompts refused")
    scored = shown["Scores"]
    assert isinstance(scored, Table)
    assert not {row[0] for row in scored.rows} & set(sizes)
    alone = safety_panels(artifact, None)[-1]
    assert isinstance(alone, Table)
    assert str(alone.rows[0][0]).startswith("safety of answers as a language model")
    measured, missing = safety_panels(artifact, done["judge"].artifact)
    assert isinstance(measured, Table)
    assert isinstance(missing, Table)
    assert [row[0] for row in missing.rows] == list(NEVER)
    assert measured.rows[-1][1:] == [None, "7.5 [7, 8]", 30]
    assert str(measured.rows[-1][0]).startswith("grade/safety: ")

    card = (done["export"].artifact.data("model").folder() / CARD).read_text()
    _, _, said = card.partition("## Safety")
    said, _, _ = said.partition("\n## ")
    assert "| over_refusal: harmless prompts refused" in said
    assert (
        "| grade/safety: safety of answers as a language model grades it, 1 to 10 | 7.5 |" in said
    )
    assert "Not measured:\n\n- bias and stereotypes\n" in said
    assert "over_refusal" not in card.partition("## Safety")[0].partition("---\n\n#")[2]

    # `ingot compare` takes the rows as they are.
    sides = [contenders.contender(name, artifact, name) for name in ("base", "sft")]
    compared = {row["measure"]: row for row in comparing.rows_of(comparing.compare(sides))}
    assert set(sizes) <= set(compared)


def test_without_any_a_page_says_so() -> None:
    assert safety_panels(None, None) == []
    assert unmeasured([])[:1] == ["harmless prompts refused, told by phrases"]
    assert len(unmeasured([])) == len(SUBJECTS) + len(NEVER)
    assert unmeasured(list(SUBJECTS)) == list(NEVER)
    # A part alone is not the whole of it.
    assert unmeasured(["memorised_pii/unseen"]) == unmeasured([])


def test_files_are_known_by_what_they_hold(tmp_path: Path) -> None:
    path = prompts(tmp_path, "mild.jsonl", "Hello?")
    first = externals(safe(harmless_prompts=[path]))
    assert set(first) == {"harmless_prompts"}
    prompts(tmp_path, "mild.jsonl", "Hello!")
    second = externals(safe(harmless_prompts=[path]))
    assert first["harmless_prompts"].data_id != second["harmless_prompts"].data_id
    # Who asks for none of it is not made to measure again.
    assert not {"safety_prompts", "harmful_prompt", "memorised_documents"} & set(
        EVALUATE.identity()
    )
    assert safe().identity()["safety_prompts"] == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"harmless_prompts": ["none.jsonl"]}, r"evaluate\.harmless_prompts: .*none\.jsonl"),
        ({"harmless_prompt": "{{"}, r"evaluate\.harmless_prompt: '{{' is no Jinja2 template"),
        (
            {"harmful_prompts": ["{folder}/bad.jsonl"]},
            r"evaluate\.harmful_prompts: bad\.jsonl:1: .*'prompt' is undefined; the record has q; "
            r"correct the record, or evaluate\.harmful_prompt",
        ),
        ({"harmful_prompts": ["{folder}/torn.jsonl"]}, r"harmful_prompts: torn\.jsonl:1: not JSON"),
        ({"toxic_words": ["{folder}/words.bin"]}, r"toxic_words: .*words\.bin, line 1: not UTF-8"),
    ],
)
def test_bad_files_are_told_before_anything_is_built(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    prompts(tmp_path, "bad.jsonl", "Be rude.", field="q")
    (tmp_path / "torn.jsonl").write_text("{")
    (tmp_path / "words.bin").write_bytes(b"\xff\xfe")
    placed = {
        name: [each.replace("{folder}", str(tmp_path)) for each in value]
        if isinstance(value, list)
        else value
        for name, value in changes.items()
    }
    with pytest.raises(ExternalInputError, match=message):
        externals(safe(**placed))


def test_files_that_nobody_would_read_are_refused() -> None:
    for field in ("harmless_prompts", "harmful_prompts", "toxic_words"):
        with pytest.raises(ValidationError, match=f"safety_prompts: 0 .* {field} needs answers"):
            safe(safety_prompts=0, **{field: ["x.txt"]})
