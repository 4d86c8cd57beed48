"""quality through the engine: labels accounted for, figures true, the model used by annotate."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks import quality
from tasks.annotate import AnnotateConfig
from tasks.engine.errors import ExternalInputError
from tasks.engine.panels import Histogram
from tasks.quality import LabelSource, QualityConfig
from tests.language_model import language_model
from tests.tasks.given_documents import built, data_id, document, rows, write_parts

DATA = Path(__file__).parents[2].parent / "shared" / "data"
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
    assert facts["positives"] + facts["negatives"] == artifact.data("heldout").rows
    # Random pages that are positives as well are no negatives.
    assert facts["duplicates"]["also_positive"] > 100
    assert totals.rows_in == 802
    assert totals.rejected == {"no_text": 2}
    assert totals.removed["sampled_out"] == 100
    assert totals.kept == sum(facts["trained_on"].values()) + artifact.data("heldout").rows
    held_out = rows(done, "quality", "heldout")
    assert {row["source"] for row in held_out if row["label"]} == {"wiki"}
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
    with pytest.raises(ExternalInputError, match=r"quality\.negatives: empty"):
        quality.externals(config(negatives=[]))
    with pytest.raises(ExternalInputError, match=r"quality\.negatives\[0\]\.paths: empty"):
        quality.externals(config(negatives=[LabelSource(name="x", kind="files")]))
    absent = LabelSource(name="x", kind="files", paths=[str(tmp_path / "absent.jsonl")])
    with pytest.raises(ExternalInputError, match=r"quality\.negatives\[0\]\.paths.*absent"):
        quality.externals(config(negatives=[absent]))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "x", "url_pattern": "("},
        {"name": "x", "kind": "files", "paths": ["a"], "url_pattern": "a"},
        {"name": "x", "paths": ["a"]},
        {"name": "x", "min_chars": 10, "max_chars": 9},
        {"name": "a/b"},
    ],
)
def test_sources_that_make_no_sense_are_refused(fields: dict) -> None:
    with pytest.raises(ValidationError):
        LabelSource(**fields)


def test_source_names_are_unique() -> None:
    with pytest.raises(ValidationError, match="rename one"):
        QualityConfig(positives=[LabelSource(name="x")], negatives=[LabelSource(name="x")])
