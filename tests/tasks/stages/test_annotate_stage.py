"""annotate through the engine: rows accounted for, models and lists noticed, workers irrelevant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llm.corpus.annotate import language_model as lid
from tasks.engine.errors import ExternalInputError
from tasks.stages import annotate
from tasks.stages.annotate import AnnotateConfig
from tests.language_model import language_model
from tests.tasks.documents_stage import data_id, rows, write_parts
from tests.tasks.stand_in_documents import built, document

PROSE = (
    "The river runs past the old town, and the people of the valley have lived with it for as "
    "long as anyone can remember. In the spring the water rises to the doors of the mill."
)
PARTS = [
    [document(f"https://site{n}.example/a", f"{PROSE}\nPage {n}.") for n in range(6)],
    [
        document("http://10.1.2.3/free-money", "Kontakt: jane@example.com, 8.8.8.8, bitte."),
        document("https://none.example/", None),
        document("https://deutsch.example/", "Der Fluss fließt an der alten Stadt vorbei."),
    ],
]


def config(**fields: object) -> AnnotateConfig:
    return AnnotateConfig.model_validate(
        {"workers": 1, "language_model": str(language_model()), **fields}
    )


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    return write_parts(tmp_path / "documents", PARTS)


def test_every_document_is_annotated_or_rejected(tmp_path: Path, documents: Path) -> None:
    (tmp_path / "words.txt").write_text("free money\n")
    settings = config(blocked_words=[str(tmp_path / "words.txt")])
    done = built(tmp_path / "home", documents, annotate=settings)
    found = {row["url_host"]: row for row in rows(done, "annotate", "attributes")}
    assert len(found) == 8
    assert found["site3.example"]["language"] == "en"
    assert found["deutsch.example"]["language"] == "de"
    assert found["10.1.2.3"]["url_is_ip"]
    assert found["10.1.2.3"]["url_blocked_words"] == 1
    assert found["10.1.2.3"]["email_count"] == found["10.1.2.3"]["ipv4_count"] == 1
    assert all(row["quality_score"] is None for row in found.values())
    (rejected,) = rows(done, "annotate", "rejected")
    assert (rejected["doc_id"], rejected["reason"]) == (PARTS[1][1]["doc_id"], "no_text")
    totals = done["annotate"].artifact.manifest.totals
    assert (totals.rows_in, totals.kept, totals.rejected) == (9, 8, {"no_text": 1})
    titles = [panel.title for panel in annotate.panels(done["annotate"].artifact)]
    assert titles[0] == "Languages"
    assert "word_count" in titles


def test_workers_do_not_change_a_byte(tmp_path: Path, documents: Path) -> None:
    one = built(tmp_path / "one", documents, annotate=config())
    two = built(tmp_path / "two", documents, annotate=config(workers=2))
    assert data_id(one, "annotate", "attributes") == data_id(two, "annotate", "attributes")


def test_another_model_or_list_is_noticed(tmp_path: Path, documents: Path) -> None:
    home, listed = tmp_path / "home", tmp_path / "domains.txt"
    listed.write_text("nothing.example\n")
    settings = config(blocked_domains=[str(listed)])
    assert not built(home, documents, annotate=settings)["annotate"].cached
    assert built(home, documents, annotate=settings)["annotate"].cached
    # The same model elsewhere is the same model.
    copy = tmp_path / "copy" / "lid.176.ftz"
    copy.parent.mkdir()
    copy.write_bytes(language_model().read_bytes())
    moved = config(blocked_domains=[str(listed)], language_model=str(copy))
    assert built(home, documents, annotate=moved)["annotate"].cached
    listed.write_text("site1.example\n")
    done = built(home, documents, annotate=settings)
    assert not done["annotate"].cached
    hits = [r for r in rows(done, "annotate", "attributes") if r["url_blocked_domain"]]
    assert [r["url_host"] for r in hits] == ["site1.example"]


def test_external_files_are_checked_at_plan_time(tmp_path: Path) -> None:
    with pytest.raises(ExternalInputError, match=r"annotate\.language_model"):
        annotate.externals(config(language_model=str(tmp_path / "absent.ftz")))
    (tmp_path / "a.ftz").write_text("a")
    (tmp_path / "b.ftz").write_text("b")
    with pytest.raises(ExternalInputError, match="2 files"):
        annotate.externals(config(language_model=str(tmp_path / "*.ftz")))


def test_the_standard_model_is_looked_for_and_never_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = language_model()

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("planning started a process")

    monkeypatch.setattr(lid.subprocess, "run", forbidden)
    monkeypatch.setattr(lid.sys, "prefix", str(tmp_path))
    with pytest.raises(ExternalInputError, match=r"annotate\.language_model: .*make setup"):
        annotate.externals(AnnotateConfig())
    place = lid.standard_path()
    place.parent.mkdir(parents=True)
    place.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(ExternalInputError, match=r"is not lid\.176\.ftz .*language_model"):
        annotate.externals(AnnotateConfig())
    place.write_bytes(model.read_bytes())
    (item,) = annotate.externals(AnnotateConfig())["language_model"].items
    assert item.path == str(place)


def test_importing_the_stages_is_light() -> None:
    code = (
        "import sys, tasks.stages.quality, tasks.stages.annotate, tasks.stages.filter;"
        "print([m for m in ('torch', 'fasttext', 'trl', 'prefect') if m in sys.modules])"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == "[]"
