"""quality through the engine: labels accounted for, figures true, the model used by annotate."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from pydantic import ValidationError

from llm.corpus.filter.rules import UnknownColumnError
from tasks.engine.errors import ExternalInputError
from tasks.panels.panels import Histogram
from tasks.stages import annotate, quality
from tasks.stages.annotate import AnnotateConfig
from tasks.stages.filter import FilterConfig
from tasks.stages.filter_rules import Rule
from tasks.stages.quality_config import QualityConfig, externals
from tasks.stages.quality_labels import LabelSource
from tests.language_model import language_model
from tests.tasks.documents_stage import data_id, rows, write_parts
from tests.tasks.stand_in_documents import Heard, built, document

DATA = Path(__file__).parents[3].parent / "shared" / "data"
GOOD = ["because", "therefore", "which", "river", "history", "century", "people", "nature"]
BAD = ["buy", "now", "cheap", "deal", "click", "free", "offer", "best", "price", "shop"]
SMALL = {"dim": 16, "bucket": 2000, "learning_rate": 0.5}


def text(words: list[str], seed: int, length: int = 40) -> str:
    return " ".join(random.Random(seed).choices([*words, "the", "of", "and"], k=length))


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    pages = [document(f"https://shop.example/{n}", text(BAD, n)) for n in range(200)]
    pages += [document(f"https://wiki.example/{n}", text(GOOD, n)) for n in range(200)]
    pages.append(document("https://wiki.example/void", None))
    return write_parts(tmp_path / "documents", [pages[:150], pages[150:]])


def config(**fields: object) -> QualityConfig:
    sources = {
        "positives": [LabelSource(name="wiki", url_pattern=r"^https://wiki\.", min_chars=10)],
        "negatives": [LabelSource(name="pages", max_rows=300, min_chars=10)],
    }
    return QualityConfig(**{**sources, **SMALL, **fields})


def test_documents_as_labels(tmp_path: Path, documents: Path) -> None:
    done = built(tmp_path / "home", documents, quality=config())
    artifact = done["quality"].artifact
    facts, totals = artifact.facts, artifact.manifest.totals
    assert facts["auc"] > 0.99
    card = json.loads((artifact.data("model").folder() / "quality/model.json").read_text())
    assert card["trained_on"] == {"positives": {"wiki": 200}, "negatives": {"pages": 300}}
    assert card["validation"]["auc"] == facts["auc"]
    assert facts["positives"] + facts["negatives"] == artifact.data("validation").rows
    # Random pages that are positives as well are no negatives.
    assert facts["duplicates"]["also_positive"] > 100
    assert totals.rows_in == 802
    assert totals.rejected == {"no_text": 2}
    assert totals.removed["sampled_out"] == 100
    assert totals.kept == sum(facts["trained_on"].values()) + artifact.data("validation").rows
    validation = rows(done, "quality", "validation")
    assert {row["source"] for row in validation if row["label"]} == {"wiki"}
    shown = quality.panels(artifact)
    assert any(isinstance(panel, Histogram) for panel in shown)


def test_equal_labels_give_an_equal_model(tmp_path: Path, documents: Path) -> None:
    first = built(tmp_path / "one", documents, quality=config())
    second = built(tmp_path / "two", documents, quality=config())
    assert data_id(first, "quality", "model") == data_id(second, "quality", "model")
    other = built(tmp_path / "three", documents, quality=config(seed=2))
    assert data_id(first, "quality", "model") != data_id(other, "quality", "model")


def test_annotate_uses_the_model(tmp_path: Path, documents: Path) -> None:
    language = AnnotateConfig(workers=1, language_model=str(language_model()))
    done = built(tmp_path / "home", documents, quality=config(), annotate=language)
    scores = {r["url_host"]: [] for r in rows(done, "annotate", "attributes")}
    for row in rows(done, "annotate", "attributes"):
        scores[row["url_host"]].append(row["quality_score"])
    assert min(scores["wiki.example"]) > max(scores["shop.example"])
    buckets = [row["quality_bucket"] for row in rows(done, "annotate", "attributes")]
    assert set(buckets) == set(range(20))
    assert max(buckets.count(bucket) for bucket in range(20)) <= 60  # of 400, ties together
    by_score = sorted(
        (r["quality_score"], r["quality_bucket"]) for r in rows(done, "annotate", "attributes")
    )
    assert [b for _, b in by_score] == sorted(buckets)


@pytest.mark.parametrize("texts", [50, 200])
def test_the_defaults_learn_from_few_texts(tmp_path: Path, texts: int) -> None:
    pages = [document(f"https://shop.example/{n}", text(BAD, n)) for n in range(texts)]
    pages += [document(f"https://wiki.example/{n}", text(GOOD, n)) for n in range(texts)]
    settings = QualityConfig(
        positives=[LabelSource(name="wiki", url_pattern="wiki", min_chars=10)],
        negatives=[LabelSource(name="shop", url_pattern="shop", min_chars=10)],
    )
    heard = Heard()
    done = built(tmp_path / "home", write_parts(tmp_path / "d", [pages]), heard, quality=settings)
    facts = done["quality"].artifact.facts
    assert facts["auc"] == 1.0
    assert facts["positive_scores"]["p5"] > 0.9 > 0.1 > facts["negative_scores"]["p95"]
    assert facts["score_spread"] > 0.8
    assert facts["hardly_spread"] is False
    assert facts["epochs"] * sum(facts["trained_on"].values()) >= 10_000
    assert facts["model_bytes"] < 1_000_000
    assert not any("warning" in line for line in heard.lines)


def test_scores_that_hardly_spread_are_told(tmp_path: Path, documents: Path) -> None:
    heard = Heard()
    settings = config(learning_rate=0.001, epochs=1)
    done = built(tmp_path / "home", documents, heard, quality=settings)
    artifact = done["quality"].artifact
    assert artifact.facts["hardly_spread"] is True
    assert artifact.facts["score_spread"] < 0.2
    (warning,) = (line for line in heard.lines if "warning" in line)
    assert warning.startswith(
        "quality: warning: quality: nine in ten validation scores lie between"
    )
    titles = [panel.title for panel in quality.panels(artifact)]
    assert "Quality: validation scores hardly spread" in titles


def test_heuristics_join_the_score(tmp_path: Path) -> None:
    """Words alone tell nothing here; lines do."""
    pages = []
    for n in range(160):
        words = text(GOOD, n, 60).split()
        lines = [" ".join(words[at : at + 3]) for at in range(0, 60, 3)]
        pages.append(document(f"https://wiki.example/{n}", " ".join(words) + "."))
        pages.append(document(f"https://menu.example/{n}", "\n".join(lines)))
    sources = {
        "positives": [LabelSource(name="prose", url_pattern="wiki", min_chars=10)],
        "negatives": [LabelSource(name="menus", url_pattern="menu", min_chars=10)],
    }
    pages = [p for n, p in enumerate(pages) if n % 4 in (0, 3)]  # no text is in both classes
    folder = write_parts(tmp_path / "documents", [pages])
    language = AnnotateConfig(workers=1, language_model=str(language_model()))
    settings = config(**sources, heuristics=True, validation_fraction=0.3)
    done = built(tmp_path / "home", folder, quality=settings, annotate=language)
    artifact = done["quality"].artifact
    assert artifact.facts["auc"] == 1.0
    assert artifact.facts["length_auc"] < 0.8
    names = {file.path for file in artifact.manifest.outputs["model"].files}
    assert names == {
        f"quality/{name}" for name in ("model.bin", "model.json", "blend.json", "buckets.json")
    }
    scores: dict[str, list[float]] = {"wiki.example": [], "menu.example": []}
    for row in rows(done, "annotate", "attributes"):
        scores[row["url_host"]].append(row["quality_score"])
    assert min(scores["wiki.example"]) > max(scores["menu.example"])
    again = built(tmp_path / "again", folder, quality=settings)
    assert data_id(done, "quality", "model") == data_id(again, "quality", "model")


def test_a_classifier_that_length_beats_is_told(tmp_path: Path) -> None:
    pages = [document(f"https://a.example/{n}", text(GOOD, n, 30)) for n in range(150)]
    pages += [document(f"https://b.example/{n}", text(GOOD, n + 999, 60)) for n in range(150)]
    heard = Heard()
    settings = config(
        positives=[LabelSource(name="short", url_pattern="//a", min_chars=10)],
        negatives=[LabelSource(name="long", url_pattern="//b", min_chars=10)],
        validation_fraction=0.3,
    )
    done = built(tmp_path / "home", write_parts(tmp_path / "d", [pages]), heard, quality=settings)
    assert done["quality"].artifact.facts["length_auc"] > 0.99
    assert any("the length of a text tells the classes apart" in line for line in heard.lines)


def two_classifiers(**fields: object) -> QualityConfig:
    """`quality` and, of the same pages the other way round, `shopping`."""
    return config(
        positives=[
            LabelSource(name="wiki", url_pattern=r"^https://wiki\.", min_chars=10),
            LabelSource(
                name="wares", classifier="shopping", url_pattern=r"^https://shop\.", min_chars=10
            ),
        ],
        negatives=[
            LabelSource(name="pages", max_rows=300, min_chars=10),
            LabelSource(name="others", classifier="shopping", min_chars=10),
        ],
        **fields,
    )


def test_each_classifier_is_a_column(tmp_path: Path, documents: Path) -> None:
    language = AnnotateConfig(workers=2, language_model=str(language_model()))
    rules = FilterConfig(rules=[Rule(column="shopping_score", maximum=0.5)], workers=1)
    stages = {"quality": two_classifiers(), "annotate": language, "filter": rules}
    done = built(tmp_path / "home", documents, **stages)
    artifact = done["quality"].artifact
    assert two_classifiers().classifiers == ["quality", "shopping"]
    names = {file.path for file in artifact.manifest.outputs["model"].files}
    assert names == {
        f"{c}/{name}"
        for c in ("quality", "shopping")
        for name in ("model.bin", "model.json", "buckets.json")
    }
    assert artifact.facts["auc"] > 0.99
    assert artifact.facts["shopping.auc"] > 0.99
    validation = rows(done, "quality", "validation")
    for name in ("quality", "shopping"):
        ids = [row["doc_id"] for row in validation if row["classifier"] == name]
        assert len(ids) == len(set(ids)) > 10
    assert {row["source"] for row in validation if row["classifier"] == "shopping"} == {
        "wares",
        "others",
    }
    found = rows(done, "annotate", "attributes")
    assert list(found[0])[-2:] == ["quality_bucket", "shopping_score"]
    for row in found:
        of_the_shop = row["url_host"] == "shop.example"
        assert (row["shopping_score"] > 0.5) is of_the_shop
        assert (row["quality_score"] < 0.5) is of_the_shop
    kept = {row["url"].split("/")[2] for row in rows(done, "filter", "documents")}
    assert kept == {"wiki.example"}
    shown = [panel.title for panel in annotate.panels(done["annotate"].artifact)]
    assert "shopping_score" in shown
    (column,) = (c for c in artifact.manifest.outputs["validation"].columns if "classifier" in c)
    assert column == "classifier: string"
    titles = [panel.title for panel in quality.panels(artifact)]
    assert "Shopping classifier on validation texts" in titles
    # Without it the column is gone, and a rule on it is an error that names those there are.
    single = {"quality": config(), "annotate": language, "filter": rules}
    with pytest.raises(UnknownColumnError, match=r"'shopping_score'.*quality_score"):
        built(tmp_path / "home", documents, **single)


def test_one_classifier_without_a_class_is_refused() -> None:
    lonely = LabelSource(name="x", classifier="safety")
    with pytest.raises(ExternalInputError, match=r"quality\.positives: none for .*'safety'"):
        externals(config(negatives=[LabelSource(name="pages"), lonely]))


def test_changed_label_files_are_noticed(tmp_path: Path, documents: Path) -> None:
    labels = tmp_path / "labels.jsonl"

    def write(count: int) -> None:
        lines = [
            json.dumps({"body": text(BAD, 1000 + n), "label": n % 2 == 0}) for n in range(count)
        ]
        labels.write_text("\n".join([*lines, "{broken"]))

    write(100)
    files = LabelSource(
        name="spam", kind="files", paths=[str(labels)], text_field="body",
        where_field="label", where_value="true", min_chars=10,
    )  # fmt: skip
    settings, home = config(negatives=[files]), tmp_path / "home"
    done = built(home, documents, quality=settings)
    assert done["quality"].artifact.facts["auc"] > 0.99
    (source,) = (s for s in done["quality"].artifact.facts["sources"] if s["name"] == "spam")
    assert source["removed"] == {"not_selected": 50}
    assert source["rejected"] == {"not_json": 1}
    details = [row["detail"] for row in rows(done, "quality", "rejected")]
    assert "spam/labels.jsonl, row 100" in details
    assert built(home, documents, quality=settings)["quality"].cached
    write(102)
    assert not built(home, documents, quality=settings)["quality"].cached


def test_encyclopedia_against_crawl(tmp_path: Path, documents: Path) -> None:
    articles, crawl = DATA / "text" / "wikitext2_valid.txt.gz", DATA / "quality" / "c4_300.jsonl.gz"
    if not (articles.is_file() and crawl.is_file()):
        pytest.skip("shared/data is not beside the checkout")
    sources = {
        "positives": [LabelSource(name="wikitext", kind="files", paths=[str(articles)])],
        "negatives": [LabelSource(name="c4", kind="files", paths=[str(crawl)])],
    }
    done = built(
        tmp_path / "home", documents, quality=QualityConfig(**sources, dim=20, bucket=9999)
    )
    assert done["quality"].artifact.facts["auc"] > 0.9


def test_a_class_without_source_or_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExternalInputError, match=r"quality\.negatives: none for .*'quality'"):
        externals(config(negatives=[]))
    with pytest.raises(ExternalInputError, match=r"quality\.negatives\[0\]\.paths: empty"):
        externals(config(negatives=[LabelSource(name="x", kind="files")]))
    absent = LabelSource(name="x", kind="files", paths=[str(tmp_path / "absent.jsonl")])
    with pytest.raises(ExternalInputError, match=r"quality\.negatives\[0\]\.paths.*absent"):
        externals(config(negatives=[absent]))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "x", "url_pattern": "("},
        {"name": "x", "kind": "files", "paths": ["a"], "url_pattern": "a"},
        {"name": "x", "paths": ["a"]},
        {"name": "x", "min_chars": 10, "max_chars": 9},
        {"name": "a/b"},
        {"name": "x", "classifier": "Safety"},
        {"name": "x", "classifier": "language"},
    ],
)
def test_sources_that_make_no_sense_are_refused(fields: dict) -> None:
    with pytest.raises(ValidationError):
        LabelSource(**fields)


def test_source_names_are_unique() -> None:
    with pytest.raises(ValidationError, match="rename one"):
        QualityConfig(positives=[LabelSource(name="x")], negatives=[LabelSource(name="x")])
