"""What would change sides is what a run changes, documents and reasons."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from llm.corpus.filter.rules import UnknownColumnError
from tasks.engine.config import StageConfig
from tasks.engine.errors import MissingInputError
from tasks.engine.store.store import Store
from tasks.stages import annotate, dedup, quality, tokenizer
from tasks.stages.annotate import AnnotateConfig
from tasks.stages.dedup import DedupConfig
from tasks.stages.dedup_decision import NotStoredError
from tasks.stages.filter import STAGE as FILTER
from tasks.stages.filter import FilterConfig
from tasks.stages.filter_rules import Rule
from tasks.stages.tokenizer import TokenizerConfig
from tasks.what_if import answer
from tasks.what_if.changes import ChangeError, changed
from tasks.what_if.sides import NoDecisionError, WhatIf, what_if
from tests.language_model import language_model
from tests.tasks.documents_stage import CLEAN, built_on, rows, write_parts
from tests.tasks.stand_in_documents import document

STAGES = (CLEAN, quality.STAGE, annotate.STAGE, FILTER, dedup.STAGE, tokenizer.STAGE)
RULES = [
    Rule(column="word_count", minimum=40, maximum=90, name="length"),
    Rule(column="hash_word_ratio", maximum=0.01),
    Rule(column="mean_word_length", keep_fraction=0.8),
]
FILTERED = FilterConfig(rules=RULES, workers=1)
WORDS = ["the", "river", "runs", "town", "and", "people", "have", "boats", "that", "be", "of"]


def texts() -> list[str | None]:
    """Of 20 to 99 words, some with a mark; every fourth is the one before with a word changed."""
    draw = random.Random(3)
    rare = ["".join(draw.choices("aeioubdfklmnprst", k=7)) for _ in range(200)]
    found: list[str | None] = []
    for number in range(80):
        words = draw.choices([*WORDS, *rare], k=20 + number)
        if number % 4 == 3:
            words = (found[-1] or "").split()
            for place in draw.sample(range(len(words)), 1 + number % 3):
                words[place] = "changed"
        if number % 9 == 4:
            words[1] = "##"
        found.append(" ".join(words))
    return [*found, None]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    every = [
        {**document(f"https://{n}.example/", text), "source": f"s{n % 2}"}
        for n, text in enumerate(texts())
    ]
    folder = tmp_path_factory.mktemp("documents")
    return write_parts(folder / "parts", [every[:30], every[30:60], every[60:]])


def run(
    home: Path,
    documents: Path,
    filtered: FilterConfig,
    deduplicated: DedupConfig,
    **more: StageConfig,
) -> Any:
    configs: dict[str, StageConfig] = {
        "annotate": AnnotateConfig(workers=1, language_model=str(language_model())),
        "filter": filtered,
        "dedup": deduplicated,
        **more,
    }
    return built_on(home, STAGES, documents, configs)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, documents: Path) -> Path:
    home = tmp_path_factory.mktemp("home")
    vocabulary = TokenizerConfig(vocabulary_size=384, sample_bytes=20_000)
    dedup = DedupConfig(workers=1, threshold=0.8)
    run(home, documents, FILTERED, dedup, tokenizer=vocabulary)
    return home


def asked(home: Path, stage: str, *changes: str, examples: int = 3) -> WhatIf:
    return what_if(Store(str(home)), "test", stage, changes, examples)


def plain(removed: pa.Table) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = removed.sort_by("doc_id").to_pylist()
    return listed


def same_as_run(found: WhatIf, home: Path, done: Any, copy: Path) -> None:
    """The answer is what a run with that config keeps, removes, and why."""
    stage = found.artifact.stage
    assert plain(found.removed) == plain(done[stage].artifact.data("removed").table())
    kept = {row["doc_id"] for row in rows(done, stage, "documents")}
    assert found.kept_after == len(kept)
    before = {row["doc_id"] for row in found.artifact.data("documents").table().to_pylist()}
    assert found.comes.total.documents == len(kept - before)
    assert found.goes.total.documents == len(before - kept)
    assert {each.doc_id for each in found.comes.examples} <= kept - before
    assert {each.doc_id for each in found.goes.examples} <= before - kept


@pytest.mark.parametrize(
    "changes",
    [
        ["length.minimum=30"],
        ["length.minimum=60", "length.maximum=95"],
        ["rules.1.maximum=1"],
        ["hash_word_ratio=null"],
        ["mean_word_length.keep_fraction=0.3"],
        ["rules=[{column: alphabetic_word_fraction, minimum: 0.9}]"],
        ["filter.rules=[]"],
        ["groups=[{preset: books-and-dialogue, sources: [s1]}]", "rules=[]"],
        ["groups=[{preset: code, sources: [s1]}, {preset: web-any}]", "rules=[]"],
    ],
    ids=lambda changes: changes[-1],
)
def test_filter(home: Path, documents: Path, tmp_path: Path, changes: list[str]) -> None:
    found = asked(home, "filter", *changes)
    config = changed("filter", FILTERED, changes)
    assert isinstance(config, FilterConfig)
    copy = shutil.copytree(home, tmp_path / "home")
    before = sorted(path.name for path in home.rglob("manifest.json"))
    done = run(copy, documents, config, DedupConfig(workers=1, threshold=0.8))
    same_as_run(found, home, done, copy)
    assert found.comes.total.documents or found.goes.total.documents
    assert sorted(path.name for path in home.rglob("manifest.json")) == before


@pytest.mark.parametrize(
    "changes", [["threshold=0.95"], ["threshold=0.6"], ["keep=[doc_id]", "threshold=0.6"]]
)
def test_dedup(home: Path, documents: Path, tmp_path: Path, changes: list[str]) -> None:
    found = asked(home, "dedup", *changes)
    config = changed("dedup", DedupConfig(workers=1, threshold=0.8), changes)
    assert isinstance(config, DedupConfig)
    copy = shutil.copytree(home, tmp_path / "home")
    same_as_run(found, home, run(copy, documents, FILTERED, config), copy)
    assert found.comes.total.documents or found.goes.total.documents


def test_rules_of_a_preset_are_set_as_if_they_were_stated() -> None:
    built = FilterConfig()
    for name in ("word_count", "web-en/word_count"):
        found = changed("filter", built, [f"{name}.minimum=30"])
        assert isinstance(found, FilterConfig)
        (bounds,) = ((r.minimum, r.maximum) for r in found.all_rules() if r.column == "word_count")
        assert bounds == (30, 100_000)
    without = changed("filter", built, ["short_line_fraction=null"])
    assert isinstance(without, FilterConfig)
    names = [rule.name for rule in built.all_rules()]
    names.remove("web-en/short_line_fraction")
    assert [rule.name for rule in without.all_rules()] == names
    other = changed("filter", built, ["web-en.preset=docs"])
    assert isinstance(other, FilterConfig)
    assert "web-en/mean_word_length" not in {rule.name for rule in other.all_rules()}
    with pytest.raises(ChangeError, match="no change"):
        changed("filter", built, ["word_count.minimum=50"])


def test_what_is_said_of_it(home: Path) -> None:
    found = asked(home, "filter", "length.minimum=30", examples=2)
    by_source = {name: each.documents for name, each in found.comes.sources.items()}
    assert sum(by_source.values()) == found.comes.total.documents
    assert set(by_source) == {"s0", "s1"}
    assert set(found.comes.languages) >= {"en"}
    assert set(found.comes.reasons) == {"length"}
    # One that comes in is among the best of those with a value no more or no less than before.
    assert found.comes.total.tokens is not None
    sizes = [len((text or "").encode()) for text in texts()[10:20]]
    assert 0 < found.comes.total.tokens < sum(sizes)
    [one, two] = found.comes.examples
    assert one.doc_id < two.doc_id
    assert one.url.startswith("https://")
    assert one.reason == "length"
    assert one.detail.startswith("word_count ")
    assert one.line in " ".join(str(text) for text in texts())
    words = answer.in_words(found)
    assert words.startswith(f"filter would keep {found.kept_after} documents, not ")
    assert words.count("(estimated)") == 1
    assert answer.rows_of(found)[0]["come in"] == str(found.comes.total.documents)
    assert answer.examples_of(found)[0].startswith(f"+ <{one.url}>\n    length: word_count ")
    record = json.loads(json.dumps(answer.as_record(found, None), allow_nan=False))
    assert record["comes"]["total"]["documents"] == found.comes.total.documents


@pytest.mark.parametrize(
    ("stage", "change", "error", "says"),
    [
        ("filter", "lenght.minimum=3", ChangeError, "filter has no 'lenght'; did you mean 'leng"),
        ("filter", "length.minimum=40", ChangeError, "is what it was built with: no change"),
        ("filter", "length.minimum", ChangeError, "write it as field=value"),
        ("filter", "length.minimum=many", ChangeError, r"filter\.rules\.0\.minimum: .*number"),
        ("filter", "length.least=3", ChangeError, r"rules\.0\.least: no such field"),
        ("filter", "rules.7.minimum=3", ChangeError, "there is nothing at '7'"),
        ("filter", "length.minimum.x=3", ChangeError, "'minimum' has no fields"),
        ("filter", "length.column=nothing", UnknownColumnError, "no column 'nothing'"),
        ("dedup", "threshold=0.3", ChangeError, r"dedup\.threshold: .*greater than or equal"),
        ("dedup", "num_perm=64", NotStoredError, "were made with 128.*--from dedup --set"),
        ("clean", "engine=trafilatura", NoDecisionError, "of filter, dedup it is known without"),
        ("nothing", "a=1", NoDecisionError, "takes a run"),
    ],
)
def test_what_is_no_question(
    home: Path, stage: str, change: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        asked(home, stage, change)


def test_what_was_not_built(home: Path, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "empty"))
    with pytest.raises(MissingInputError, match="'test' has no filter yet; `ingot run --recipe"):
        what_if(store, "test", "filter", ["rules=[]"], 0)
    copy = shutil.copytree(home, tmp_path / "home")
    shutil.rmtree(copy / "artifacts" / "annotate")
    with pytest.raises(MissingInputError, match=r"filter read annotate .* which is gone"):
        asked(copy, "filter", "rules=[]")
