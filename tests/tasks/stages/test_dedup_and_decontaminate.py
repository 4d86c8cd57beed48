"""The stages dedup and decontaminate through the real engine, on a small corpus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import xxhash
from pydantic import ValidationError

from llm.tables import DOC_ID, SPLIT_DOCUMENTS
from tasks.engine.config import ShardedConfig
from tasks.engine.declare import Input, Output
from tasks.engine.errors import ExternalInputError
from tasks.engine.run.execute import BuildResult
from tasks.engine.shards.unit import Emitted, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.panels.panels import Curve, Table
from tasks.stages import decontaminate, dedup
from tests.tasks.documents_stage import CLEAN, built_on, no_panels

SCORES = pa.schema([DOC_ID, pa.field("quality_score", pa.float64())])


class AnnotateConfig(ShardedConfig):
    pass


def score_part(unit: Unit) -> Iterator[Emitted]:
    table = unit.table(["doc_id", "source"])
    scores = [float(source) for source in table.column("source").to_pylist()]
    yield "attributes", pa.table([table.column("doc_id"), scores], schema=SCORES)


def annotate_run(config: AnnotateConfig, inputs: Inputs, out: Out) -> None:
    out.map(score_part, over="documents")
    rows = inputs["documents"].rows
    out.conserve(rows_in=rows, kept=rows)


ANNOTATE = Stage(
    name="annotate",
    version=1,
    description="Scores.",
    config=AnnotateConfig,
    inputs={"documents": Input(("clean.documents",), "Documents.")},
    outputs={"attributes": Output("Scores.", SCORES)},
    run=annotate_run,
    panels=no_panels,
)
STAGES = (CLEAN, ANNOTATE, dedup.STAGE, decontaminate.STAGE)


def _words(start: int, stop: int) -> str:
    return " ".join(f"word{number}" for number in range(start, stop))


# Name -> (text, quality). b and c are near a, d is a copy of c; f is two thirds e.
TEXTS = {
    "a": (_words(0, 200), 0.1),
    "b": (_words(2, 200), 0.9),
    "c": (_words(0, 203), 0.2),
    "d": (_words(0, 203).title(), 0.2),
    "e": (_words(500, 700), 0.5),
    "f": (_words(540, 740), 0.5),
    "g": ("", 0.5),
    **{f"own{number}": (_words(1000 * number, 1000 * number + 40), 0.5) for number in range(1, 60)},
}
DOC_IDS = {name: xxhash.xxh3_128_hexdigest(name.encode()) for name in TEXTS}
NAMES = {doc_id: name for name, doc_id in DOC_IDS.items()}


def _write(path: Path, names: list[str]) -> None:
    rows = [
        {
            "doc_id": DOC_IDS[name],
            "url": f"https://example.org/{name}",
            "title": name,
            "text": TEXTS[name][0],
            "extractor": "none",
            "source": str(TEXTS[name][1]),
            "html_bytes": 1,
            "text_chars": len(TEXTS[name][0]),
        }
        for name in names
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    names = list(TEXTS)
    for part in range(3):
        _write(folder / f"part{part}.jsonl", names[part::3])
    return folder


def _build(home: Path, corpus: Path, workers: int = 1, **fields: Any) -> dict[str, BuildResult]:
    configs: dict[str, Any] = {
        "dedup": dedup.DedupConfig(workers=workers, **fields.get("dedup", {})),
    }
    if fields.get("annotate"):
        configs["annotate"] = AnnotateConfig(workers=1)
    if "decontaminate" in fields:
        configs["decontaminate"] = decontaminate.DecontaminateConfig(
            workers=workers, **fields["decontaminate"]
        )
    return built_on(home, STAGES, corpus, configs)


def _rows(artifact: Artifact, output: str) -> list[dict[str, Any]]:
    return list(artifact.data(output).table().to_pylist())


def _names(rows: list[dict[str, Any]], column: str = "doc_id") -> list[str]:
    return sorted(NAMES[row[column]] for row in rows)


def test_best_of_each_group_is_kept_and_every_row_accounted_for(
    tmp_path: Path, corpus: Path
) -> None:
    artifact = _build(tmp_path / "home", corpus, annotate=True)["dedup"].artifact
    removed = _rows(artifact, "removed")
    assert {row["reason"] for row in removed} == {"near"}
    assert _names(removed) == ["a", "c", "d"]
    assert set(_names(removed, "detail")) == {"b"}
    totals = artifact.manifest.totals
    assert (totals.rows_in, totals.kept, sum(totals.removed.values())) == (66, 63, 3)
    documents = artifact.data("documents").table()
    assert documents.schema.equals(SPLIT_DOCUMENTS)
    text = {row["doc_id"]: row["text"] for row in documents.to_pylist()}
    assert all(text[DOC_IDS[name]] == TEXTS[name][0] for name in ("b", "e", "own7", "g"))


def test_another_threshold_signs_no_document_again(tmp_path: Path, corpus: Path) -> None:
    home = tmp_path / "home"
    _build(home, corpus)
    # No pair lies between these two, so that the clusters, and with them the splits, stay too.
    again = _build(home, corpus, dedup={"threshold": 0.79})["dedup"]
    assert not again.cached
    timings = again.artifact.manifest.timings
    assert (timings.shards_built, timings.shards_adopted) == (0, 6)
    wider = _build(home, corpus, dedup={"threshold": 0.79, "shingle_words": 4})["dedup"]
    assert wider.artifact.manifest.timings.shards_built >= 3


def test_without_attributes_the_longest_is_kept(tmp_path: Path, corpus: Path) -> None:
    artifact = _build(tmp_path / "home", corpus)["dedup"].artifact
    assert artifact.facts["keep_order"] == ["longest", "doc_id"]
    removed = {NAMES[row["doc_id"]]: row["reason"] for row in _rows(artifact, "removed")}
    kept = min("c", "d", key=DOC_IDS.__getitem__)
    copy = "d" if kept == "c" else "c"
    assert removed == {"a": "near", "b": "near", copy: "exact"}


def test_split_keeps_groups_together(tmp_path: Path, corpus: Path) -> None:
    for seed in range(6):
        settings = {"dedup": {"split_seed": seed, "validation_fraction": 0.5}}
        artifact = _build(tmp_path / "home", corpus, **settings)["dedup"].artifact
        split = {NAMES[row["doc_id"]]: row["split"] for row in _rows(artifact, "documents")}
        assert split["e"] == split["f"]
        assert set(split.values()) == {"train", "validation"}
        validation = [name for name, part in split.items() if part == "validation"]
        assert artifact.facts["validation_documents"] == len(validation)
        assert artifact.facts["validation_chars"] == sum(len(TEXTS[n][0]) for n in validation)


def test_workers_and_cut_into_parts_do_not_matter(tmp_path: Path, corpus: Path) -> None:
    one = _build(tmp_path / "one", corpus)["dedup"].artifact
    two = _build(tmp_path / "two", corpus, workers=2)["dedup"].artifact
    assert {name: output.data_id for name, output in one.manifest.outputs.items()} == {
        name: output.data_id for name, output in two.manifest.outputs.items()
    }
    other = tmp_path / "other"
    other.mkdir()
    names = sorted(TEXTS, reverse=True)
    _write(other / "x.jsonl", names[:50])
    _write(other / "y.jsonl", names[50:])
    cut = _build(tmp_path / "three", other)["dedup"].artifact
    for output in ("removed", "pairs", "clusters"):
        assert cut.data(output).data_id == one.data(output).data_id

    def documents(artifact: Artifact) -> list[tuple[str, str]]:
        return sorted((row["doc_id"], row["split"]) for row in _rows(artifact, "documents"))

    assert documents(cut) == documents(one)


def test_a_new_file_signs_only_itself(tmp_path: Path, corpus: Path) -> None:
    home = tmp_path / "home"
    moved = tmp_path / "part2.jsonl"
    (corpus / "part2.jsonl").rename(moved)
    _build(home, corpus)
    moved.rename(corpus / "part2.jsonl")
    again = _build(home, corpus)["dedup"].artifact
    # Six shards: three signed, of which two are adopted, and three split.
    assert (again.manifest.timings.shards_adopted, again.manifest.timings.shards_built) == (2, 4)
    fresh = _build(tmp_path / "fresh", corpus)["dedup"].artifact
    assert again.data("documents").data_id == fresh.data("documents").data_id


def test_panels_show_the_curve_with_its_threshold(tmp_path: Path, corpus: Path) -> None:
    artifact = _build(tmp_path / "home", corpus, dedup={"threshold": 0.75})["dedup"].artifact
    shown = dedup.STAGE.panels(artifact)
    (curve,) = [panel for panel in shown if isinstance(panel, Curve)]
    assert curve.series["threshold 0.75"] == [(0.75, 0.0), (0.75, 1.0)]
    counts = next(panel for panel in shown if isinstance(panel, Table))
    assert ["kept", 63] in [list(row) for row in counts.rows]


def test_a_corpus_of_nothing_is_shown_as_such(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    _write(folder / "part0.jsonl", [])
    done = _build(tmp_path / "home", folder, decontaminate={})
    counts = dedup.STAGE.panels(done["dedup"].artifact)[0]
    assert isinstance(counts, Table)
    assert ["of these validation", 0] in [list(row) for row in counts.rows]
    assert decontaminate.STAGE.panels(done["decontaminate"].artifact)
    assert done["decontaminate"].artifact.data("documents").rows == 0


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    folder = tmp_path / "questions"
    folder.mkdir()
    (folder / "quiz.jsonl").write_text(
        '{"q": "Who wrote ' + _words(3000, 3020) + '?", "a": "nobody"}\n'
        '{"q": "Why ' + _words(70_000, 70_020) + '?", "a": "word4000 word4001"}\n'
    )
    return folder


def test_documents_that_quote_a_question_are_removed(
    tmp_path: Path, corpus: Path, questions: Path
) -> None:
    chosen = {"name": "quiz", "paths": [str(questions)], "fields": ["q"]}
    settings = {"decontaminate": {"evaluation_sets": [chosen]}}
    artifact = _build(tmp_path / "home", corpus, **settings)["decontaminate"].artifact
    (row,) = _rows(artifact, "removed")
    assert (NAMES[row["doc_id"]], row["reason"]) == ("own3", "evaluation:quiz")
    # "Who wrote" is not there: twenty words of twenty-two.
    assert (row["value"], row["threshold"]) == (20 / 22, 0.5)
    (match,) = _rows(artifact, "matches")
    assert (match["item"], match["rule"], match["ngrams"]) == (
        "quiz.jsonl:1", "ngram", list(range(2, 10)),
    )  # fmt: skip
    text = TEXTS["own3"][0]
    assert match["found"] == text[match["start"] : match["end"]] == _words(3000, 3020)
    assert artifact.facts["evaluation_sets"]["quiz"]["items"] == 2
    totals = artifact.manifest.totals
    assert (totals.rows_in, totals.kept, totals.removed) == (63, 62, {"evaluation:quiz": 1})
    (overlap, *_) = decontaminate.STAGE.panels(artifact)
    assert isinstance(overlap, Table)
    assert list(overlap.rows[0]) == ["quiz", 2, 0, 2, 1, 1, 1, 0]


def test_items_are_cut_out_or_only_reported(tmp_path: Path, corpus: Path, questions: Path) -> None:
    chosen = {"name": "quiz", "paths": [str(questions)], "fields": ["q"]}
    texts = {}
    for action in ("mask", "report"):
        settings = {"evaluation_sets": [chosen], "action": action, "mask": "[cut]"}
        home = tmp_path / "home"
        artifact = _build(home, corpus, decontaminate=settings)["decontaminate"].artifact
        totals = artifact.manifest.totals
        assert (totals.rows_in, totals.kept, totals.removed) == (63, 63, {})
        assert len(_rows(artifact, "matches")) == 1
        texts[action] = {row["doc_id"]: row for row in _rows(artifact, "documents")}
    own = DOC_IDS["own3"]
    left = f"[cut] {_words(3020, 3040)}"
    assert (texts["mask"][own]["text"], texts["mask"][own]["text_chars"]) == (left, len(left))
    del texts["mask"][own]
    assert texts["report"].pop(own)["text"] == TEXTS["own3"][0]
    assert texts["mask"] == texts["report"]


def test_a_document_that_is_an_item_alone_is_removed_whatever_is_cut(
    tmp_path: Path, corpus: Path
) -> None:
    (tmp_path / "all.txt").write_text(f"{TEXTS['own3'][0]}\n{_words(4000, 4020)}\n")
    chosen = {"name": "quiz", "paths": [str(tmp_path / "all.txt")]}
    settings = {"evaluation_sets": [chosen], "action": "mask"}
    artifact = _build(tmp_path / "home", corpus, decontaminate=settings)["decontaminate"].artifact
    assert _names(_rows(artifact, "removed")) == ["own3"]
    cut = len(TEXTS["own3"][0]) + len(_words(4000, 4020))
    facts = artifact.facts
    assert (facts["masked_documents"], facts["masked_characters"]) == (1, cut)


def test_what_many_documents_quote_is_no_evidence(tmp_path: Path, corpus: Path) -> None:
    """Fifteen of an item's words in a row, on four pages; and the whole item on one of them."""
    quoted = _words(80_000, 80_015)
    (tmp_path / "quiz.txt").write_text(f"{quoted} {_words(90_000, 90_010)}\n")
    for number in range(1, 5):
        name = f"own{number}"
        text = f"{TEXTS[name][0]} {quoted}" + (f" {_words(90_000, 90_010)}" if number == 4 else "")
        for path in corpus.iterdir():
            path.write_text(path.read_text().replace(json.dumps(TEXTS[name][0]), json.dumps(text)))
    chosen = {"name": "quiz", "paths": [str(tmp_path / "quiz.txt")]}
    removed, common = {}, {}
    for most in (0, 3):
        settings = {"evaluation_sets": [chosen], "common_documents": most}
        home = tmp_path / "home"
        artifact = _build(home, corpus, decontaminate=settings)["decontaminate"].artifact
        removed[most] = _names(_rows(artifact, "removed"))
        common[most] = {row["ngram"]: row["documents"] for row in _rows(artifact, "common")}
    assert removed == {0: ["own1", "own2", "own3", "own4"], 3: ["own4"]}
    ngrams = [_words(80_000 + at, 80_013 + at) for at in range(3)]
    assert common == {0: {}, 3: dict.fromkeys(ngrams, 4)}
    timings = artifact.manifest.timings
    # Of search and writing of three parts, the search is not repeated.
    assert timings.shards_adopted == 3


def test_without_evaluation_sets_everything_passes(tmp_path: Path, corpus: Path) -> None:
    done = _build(tmp_path / "home", corpus, decontaminate={})
    artifact = done["decontaminate"].artifact
    assert artifact.data("documents").data_id == done["dedup"].artifact.data("documents").data_id
    assert decontaminate.STAGE.panels(artifact)


def test_a_bad_evaluation_set_stops_the_stage(
    tmp_path: Path, corpus: Path, questions: Path
) -> None:
    chosen = {"name": "quiz", "paths": [str(questions)], "fields": ["question"]}
    with pytest.raises(ExternalInputError, match=r"quiz: quiz\.jsonl:1: no field 'question'"):
        _build(tmp_path / "home", corpus, decontaminate={"evaluation_sets": [chosen]})
    (questions / "quiz.jsonl").write_text("\n")
    chosen["fields"] = []
    with pytest.raises(ExternalInputError, match=r"quiz: quiz\.jsonl: no item in it"):
        _build(tmp_path / "home", corpus, decontaminate={"evaluation_sets": [chosen]})


def test_configs_refuse_what_makes_no_sense() -> None:
    chosen = {"name": "quiz", "paths": ["x.txt"]}
    with pytest.raises(ValidationError, match="more than once"):
        decontaminate.DecontaminateConfig(evaluation_sets=[chosen, chosen])
    with pytest.raises(ValidationError, match="shortest_item"):
        decontaminate.DecontaminateConfig(ngram=6, shortest_item=7)
    with pytest.raises(ValidationError, match="paths"):
        decontaminate.DecontaminateConfig(evaluation_sets=[{"name": "quiz"}])
    with pytest.raises(ValidationError, match="threshold"):
        dedup.DedupConfig(threshold=0.4)


def test_where_evaluation_files_lie_is_no_part_of_identity() -> None:
    configs = [
        decontaminate.DecontaminateConfig(evaluation_sets=[{"name": "quiz", "paths": [path]}])
        for path in ("a/x.txt", "b/x.txt")
    ]
    assert configs[0].identity() == configs[1].identity()
