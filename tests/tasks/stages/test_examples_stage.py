"""examples through the engine: made of documents, read from files, nothing lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.engine.config import StageConfig
from tasks.engine.errors import ExternalInputError, MissingInputError
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildResult
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store.store import Store
from tasks.panels.panels import Samples, Table
from tasks.stages import decontaminate, examples
from tasks.stages.decontaminate import DecontaminateConfig, EvaluationSet
from tasks.stages.examples import ExamplesConfig, NoExamplesError, panels
from tests.llm.pydocs.documentation import pages
from tests.tasks.documents_stage import DEDUP, DocumentsConfig, data_id, rows, write_parts
from tests.tasks.split_documents import document

STAGES = {stage.name: stage for stage in (DEDUP, decontaminate.STAGE, examples.STAGE)}
OUTPUTS = ("instructions", "preferences", "removed", "rejected")


def documentation() -> list[dict[str, Any]]:
    """Pages of the library, one of them for validation."""
    held = "pydocs://python/weakref"
    return [
        {**document(text, "docs", "validation" if url == held else "train"), "url": url}
        for url, text in sorted(pages().items())
    ]


def made(
    folder: Path,
    config: ExamplesConfig,
    documents: list[dict[str, Any]] | None = None,
    **more: StageConfig,
) -> Mapping[str, BuildResult]:
    configs: dict[str, Any] = {"examples": config, **more}
    if documents is not None:
        parts = write_parts(folder / "documents", [documents])
        configs["dedup"] = DocumentsConfig(folder=str(parts), workers=1)
    store = Store(str(folder / "home"))
    return build(Planner(chain(STAGES, configs), configs, "test", store, Selection()))


def files(folder: Path, prompts: int = 60) -> ExamplesConfig:
    folder.mkdir(parents=True, exist_ok=True)
    asked = [{"prompt": f"What is {n}?", "completion": f"It is {n}."} for n in range(prompts)]
    pairs = [
        {"prompt": f"What is {n}?", "chosen": f"It is {n}.", "rejected": "No."}
        for n in range(prompts)
    ]
    bad = ['{"prompt": "no answer", "completion": ""}', "{", json.dumps(asked[3])]
    text = "\n".join([*map(json.dumps, asked), *bad])
    (folder / "asked.jsonl").write_text(text)
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    return ExamplesConfig(
        make_from_documents=False,
        instruction_files=[str(folder / "asked.jsonl")],
        preference_files=[str(folder / "*rs.jsonl")],
        validation_fraction=0.3,
    )


def test_examples_of_documents_have_their_split_and_parents(tmp_path: Path) -> None:
    documents = documentation()
    done = made(tmp_path, ExamplesConfig(), [*documents, document("prose", "web")])
    parents = {row["doc_id"]: row for row in documents}
    for output in ("instructions", "preferences"):
        found = rows(done, "examples", output)
        assert {row["split"] for row in found} == {"train", "validation"}
        for row in found:
            (parent,) = row["parent_doc_ids"]
            assert row["split"] == parents[parent]["split"]
            assert row["source"] == "docs"
    for row in rows(done, "examples", "instructions"):
        text = parents[row["parent_doc_ids"][0]]["text"]
        asked, said = row["messages"]
        assert (asked["role"], said["role"]) == ("user", "assistant")
        assert all(paragraph in text for paragraph in said["content"].split("\n\n"))


def test_every_candidate_is_accounted_for(tmp_path: Path) -> None:
    config = ExamplesConfig(
        min_answer_chars=60,
        max_instructions=20,
        max_preferences=10,
        max_validation_examples=4,
        instruction_files=files(tmp_path).instruction_files,
    )
    documents = [*documentation(), {**documentation()[0], "doc_id": "9" * 32}]
    done = made(tmp_path, config, documents)
    totals = done["examples"].artifact.manifest.totals
    tables = {name: rows(done, "examples", name) for name in OUTPUTS}
    assert totals.rows_in == sum(map(len, tables.values()))
    assert totals.kept == len(tables["instructions"]) + len(tables["preferences"])
    for name, stated in (("removed", totals.removed), ("rejected", totals.rejected)):
        assert Counter(row["reason"] for row in tables[name]) == stated
    assert totals.rejected == {"empty_text": 1, "malformed_json": 1}
    assert set(totals.removed) >= {"cap", "duplicate", "short", "no_sibling"}
    of_documents = [row for row in tables["instructions"] if row["parent_doc_ids"]]
    assert Counter(row["split"] for row in of_documents) == {"train": 20, "validation": 4}
    pairs = Counter(row["split"] for row in tables["preferences"])
    assert pairs == {"train": 10, "validation": 4}


def test_equal_prompts_are_on_one_side(tmp_path: Path) -> None:
    done = made(tmp_path, files(tmp_path))
    instructions = rows(done, "examples", "instructions")
    preferences = rows(done, "examples", "preferences")
    splits = {row["messages"][0]["content"]: row["split"] for row in instructions}
    assert {row["prompt"][0]["content"]: row["split"] for row in preferences} == splits
    assert 8 < Counter(splits.values())["validation"] < 30
    assert {row["source"] for row in instructions} == {"asked.jsonl"}
    assert {row["source"] for row in preferences} == {"pairs.jsonl"}
    assert all(row["parent_doc_ids"] == [] for row in [*instructions, *preferences])
    (duplicate,) = rows(done, "examples", "removed")
    assert duplicate["reason"] == "duplicate"
    assert duplicate["doc_id"] in {row["doc_id"] for row in instructions}
    # Of the two equal rows either may be the one that stays.
    assert duplicate["detail"].split(": ")[0] in ("asked.jsonl:4", "asked.jsonl:63")
    rejected = rows(done, "examples", "rejected")
    assert [row["detail"].split(": ")[0] for row in rejected] == [
        "asked.jsonl:61",
        "asked.jsonl:62",
    ]


def test_a_validation_prompt_of_documents_is_in_no_file(tmp_path: Path) -> None:
    documents = documentation()
    done = made(tmp_path / "one", ExamplesConfig(), documents)
    held = [r for r in rows(done, "examples", "instructions") if r["split"] == "validation"]
    asked = held[0]["messages"][0]["content"]
    file = tmp_path / "mine.jsonl"
    mine = [{"prompt": asked, "completion": "My own."}, {"prompt": "Hello?", "completion": "Hi."}]
    file.write_text("\n".join(map(json.dumps, mine)))
    config = ExamplesConfig(instruction_files=[str(file)], validation_fraction=0)
    done = made(tmp_path / "two", config, documents)
    own = [r for r in rows(done, "examples", "instructions") if r["source"] == "mine.jsonl"]
    assert [row["messages"][0]["content"] for row in own] == ["Hello?"]
    (removed,) = [
        r for r in rows(done, "examples", "removed") if r["reason"] == "validation_prompt"
    ]
    assert removed["detail"].startswith("mine.jsonl:1: ")
    assert held[0]["doc_id"] in removed["detail"]


def test_equal_inputs_give_equal_bytes_wherever_they_lie(tmp_path: Path) -> None:
    for place in ("one", "two"):
        config = files(tmp_path / place).model_copy(update={"make_from_documents": True})
        done = made(tmp_path / place, config, documentation())
        ids = [data_id(done, "examples", output) for output in OUTPUTS]
        if place == "one":
            first = ids
    assert ids == first
    other = made(tmp_path / "two", config.model_copy(update={"seed": 1}), documentation())
    assert data_id(other, "examples", "preferences") != first[1]


def test_what_models_are_measured_with_is_not_learned(tmp_path: Path) -> None:
    question = (
        "A keeper walks nineteen steps down to the shore and twenty three back up to the lamp; "
        "how many steps does she climb in a week of seven days?"
    )
    (tmp_path / "exam.jsonl").write_text(json.dumps({"question": question}))
    config = files(tmp_path, prompts=4)
    asked = [
        {"prompt": f"Tell me: {question.upper()}", "completion": "It is 294."},
        {"prompt": "What climbs?", "completion": f"She asked herself: {question}"},
    ]
    pair = {"prompt": question, "chosen": "It is 294.", "rejected": "It is 7."}
    with (tmp_path / "asked.jsonl").open("a") as file:
        file.write("\n" + "\n".join(map(json.dumps, asked)))
    with (tmp_path / "pairs.jsonl").open("a") as file:
        file.write("\n" + json.dumps(pair))
    exam = EvaluationSet(name="exam", paths=[str(tmp_path / "exam.jsonl")], fields=["question"])
    sets = DecontaminateConfig(evaluation_sets=[exam], workers=1)
    done = made(tmp_path, config, documentation(), decontaminate=sets)
    removed = [r for r in rows(done, "examples", "removed") if r["reason"] == "evaluation:exam"]
    assert len(removed) == 3
    assert all("exam.jsonl:1: a keeper walks nineteen" in row["detail"] for row in removed)
    kept = json.dumps([rows(done, "examples", name) for name in ("instructions", "preferences")])
    assert "nineteen" not in kept.lower()
    assert "What is 3?" in kept


def test_panels_count_and_show(tmp_path: Path) -> None:
    config = files(tmp_path).model_copy(update={"make_from_documents": True})
    done = made(tmp_path, config, documentation())
    shown = {panel.title: panel for panel in panels(done["examples"].artifact)}
    table, left_out, samples = shown["Examples"], shown["Left out"], shown["Preferences"]
    assert isinstance(table, Table)
    assert isinstance(left_out, Table)
    assert isinstance(samples, Samples)
    totals = done["examples"].artifact.manifest.totals
    assert sum(row[2] + row[3] for row in table.rows) == totals.kept
    assert sum(row[3] for row in left_out.rows) == totals.rows_in - totals.kept
    first = samples.items[0].text
    assert first.startswith("user: ")
    assert "\n\nchosen: " in first
    assert "\n\nrejected: " in first


def test_what_cannot_be_built(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="make_from_documents"):
        made(tmp_path / "a", ExamplesConfig())
    with pytest.raises(NoExamplesError, match="pydocs"):
        made(tmp_path / "b", ExamplesConfig(), [document("prose", "web")])
    (tmp_path / "c.jsonl").write_text('{"text": "no question"}\n')
    config = ExamplesConfig(
        make_from_documents=False, instruction_files=[str(tmp_path / "c.jsonl")]
    )
    with pytest.raises(ExternalInputError, match=r"c\.jsonl: none .*prompt/completion"):
        made(tmp_path / "c", config)
    with pytest.raises(ValidationError, match="nothing to make examples from"):
        ExamplesConfig(make_from_documents=False)
    with pytest.raises(ValidationError, match="min_answer_chars"):
        ExamplesConfig(min_answer_chars=700)


def test_what_rows_bring_along_is_honoured_or_told(tmp_path: Path) -> None:
    said = {"role": "assistant", "content": "Lyon.", "weight": 0}
    turns = [{"role": "user", "content": "Capital?"}, said, {"role": "user", "content": "Again."}]
    learned = [
        {"messages": [*turns, {**said, "content": "Paris.", "weight": 1}], "id": 1},
        {"prompt": "Of Spain?", "completion": "Paris.", "label": False, "id": 2},
        {"prompt": "Of Spain?", "completion": "Madrid.", "label": True, "id": 3},
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, learned)))
    config = ExamplesConfig(make_from_documents=False, instruction_files=[str(path)])
    done = made(tmp_path, config)
    found = {
        len(row["messages"]): row["messages"] for row in rows(done, "examples", "instructions")
    }
    assert [message["supervised"] for message in found[4]] == [False, False, False, True]
    assert found[2][1] == {"role": "assistant", "content": "Madrid.", "supervised": True}
    (rejected,) = rows(done, "examples", "rejected")
    assert rejected["reason"] == "bad_answer"
    artifact = done["examples"].artifact
    told = [{"file": "mine.jsonl", "field": "id", "rows": 2}]
    assert artifact.facts["unread_fields"] == told
    shown = {panel.title: panel for panel in panels(artifact)}
    assert isinstance(table := shown["Fields not used"], Table)
    assert table.rows == [["mine.jsonl", "id", 2]]
    samples = shown["Instructions"]
    assert isinstance(samples, Samples)
    assert any("assistant (not learned): Lyon." in item.text for item in samples.items)
