"""The summary of training content from what is known, by hand and of a recipe that was built."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.engine.config import StageConfig
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store.store import Store
from tasks.forget import tombstones
from tasks.forget.certificate import MARK
from tasks.papers import papers as making
from tasks.papers.answers import read_answers
from tasks.papers.fields import Field, PapersAnswersError, filled_share, with_answers
from tasks.papers.known import Known
from tasks.papers.papers import NoPapersError, again, outdated, write
from tasks.papers.training_content import fields
from tasks.registry import STAGES

KNOWN = Known(
    artifacts={},
    tokens=2_500_000_000,
    documents=1_000,
    text_bytes=10_000,
    sources={"crawl": (900, 9_000), "notes": (100, 1_000)},
    domains={f"site{n}.example": 20_000 - n for n in range(20_000)},
    languages={"en": 750, "de": 250},
    licences={"CC-BY-4.0": 60, "unknown": 40},
    first=datetime(2024, 5, 1, tzinfo=UTC),
    last=datetime(2025, 11, 30, tzinfo=UTC),
)


def by_key(known: Known) -> dict[str, Field]:
    return {field.key: field for field in fields(known)}


def test_sizes_dates_and_shares() -> None:
    found = by_key(KNOWN)
    assert found["data.size_range"].value == "1 billion to 10 trillion tokens"
    assert found["data.tokens"].value == "2,500,000,000 tokens in the rows of the train split"
    assert found["data.latest_acquisition"].value == "11/2025"
    assert found["crawled.period"].value == "05/2024 to 11/2025"
    assert found["data.languages"].value == [
        {"language": "en", "documents": 750, "share": "75.0%"},
        {"language": "de", "documents": 250, "share": "25.0%"},
    ]
    domains = found["crawled.domains"].value
    assert domains is not None
    assert len(domains) == 2_000, "the top tenth"
    few = by_key(replace(KNOWN, domains={"a.example": 1}))["crawled.domains"].value
    assert few == [{"domain": "a.example", "bytes of text": 1, "share": "100.0%"}]


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (999_999_999, "Less than 1 billion tokens"),
        (10**13, "1 billion to 10 trillion tokens"),
        (10**13 + 1, "More than 10 trillion tokens"),
        (None, None),
    ],
)
def test_size_is_told_as_a_range(tokens: int | None, said: str | None) -> None:
    assert by_key(replace(KNOWN, tokens=tokens))["data.size_range"].value == said


def test_every_field_is_of_a_section_and_what_nobody_knows_stays_open() -> None:
    made = fields(KNOWN)
    assert len({field.key for field in made}) == len(made)
    numbers = {field.section.split(" ")[0] for field in made}
    wanted = "1.1 1.2 1.3 2.1 2.2 2.3 2.4 2.5 2.6 3.1 3.2 3.3"
    assert numbers == set(wanted.split())
    assert all(field.value is None for field in made if not field.derivable)
    assert [field.key for field in made if field.derivable and field.value is None] == [
        "model.versions"
    ]


def test_what_a_person_says_stands(tmp_path: Path) -> None:
    file = tmp_path / "answers.yaml"
    file.write_text(
        "provider: {name: A Lab, representative: none}\nrights.code_of_practice: yes\n"
        "model: {placed_on_market: 2026-12-01}\n"
    )
    said = read_answers(file)
    found = {f.key: f for f in with_answers(fields(KNOWN), said, str(file))}
    assert (found["provider.name"].value, found["provider.name"].who) == ("A Lab", "given")
    assert found["rights.code_of_practice"].value == "Yes"
    assert found["model.placed_on_market"].value == "2026-12-01"
    with pytest.raises(PapersAnswersError, match=r"provider\.nam: .*'provider.name'"):
        with_answers(fields(KNOWN), {"provider.nam": "x"}, "a.yaml")
    for text in ("- a\n", "provider: [{name: x}]\n", "provider: {\n"):
        file.write_text(text)
        with pytest.raises(PapersAnswersError, match=r"answers\.yaml"):
            read_answers(file)


# -- of a recipe that was built --------------------------------------------------------------------


def build_recipe(folder: Path, store: Store) -> None:
    record: Mapping[str, Mapping[str, Any]] = {
        "source": {
            "workers": 1,
            "sources": [
                {"name": "notes", "paths": [str(folder / "notes")], "license": "CC0"},
                {"name": "docs", "kind": "pydocs", "distributions": ["xxhash"]},
            ],
        },
        "clean": {"workers": 1},
    }
    configs: dict[str, StageConfig] = {
        name: STAGES[name].config.model_validate(fields) for name, fields in record.items()
    }
    configs = tombstones.with_forgotten(configs, store)
    build(Planner(chain(STAGES, configs), configs, "mine", store, Selection()))


def test_the_papers_of_a_recipe(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "home"))
    with pytest.raises(NoPapersError, match="ingot run --recipe mine"):
        write(store, "mine", "latest", {}, "")
    notes = tmp_path / "notes"
    notes.mkdir()
    rows = [{"text": f"Note {n} of the harbour.", "url": f"https://n.example/{n}"} for n in (1, 2)]
    (notes / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    build_recipe(tmp_path, store)
    made = write(store, "mine", "latest", {"provider.name": "A Lab"}, "a.yaml")
    assert made.is_first
    assert not made.changes
    assert outdated(store) == {}
    assert again(store, "mine") is None
    record = json.loads(made.texts[making.SUMMARY_JSON])
    values = {field["key"]: field for field in record["fields"]}
    [public] = values["public.datasets"]["value"]
    assert (public["source"], public["link"]) == ("docs", "https://pypi.org")
    [own] = values["other.sources"]["value"]
    assert (own["source"], own["documents"]) == ("notes", 2)
    licences = {row["licence"] for row in values["data.licences"]["value"]}
    assert licences == {"CC0-1.0", "BSD-2-Clause"}
    pages = store.read_json(f"artifacts/source/{_only(store, 'source')}/0001/manifest.json")
    assert values["data.licences"]["evidence"] == [
        {"stage": "source", "output": "pages", "data_id": pages["outputs"]["pages"]["data_id"]}
    ]
    # Without annotate, pack and a model four fields have no value; all else that can be said is.
    unknown = [f.key for f in made.fields if f.who == "unknown"]
    assert unknown == ["model.versions", "data.size_range", "data.tokens", "data.languages"]
    assert filled_share(made.fields) == 1 - 4 / sum(f.derivable for f in made.fields)
    assert "(not known of these data; to be said by a person)" in made.texts[making.SUMMARY]
    counts = record["counts"]
    assert counts == {"derived": 26, "given": 1, "asked": 15, "unknown": 4}
    assert "A Lab" in made.texts[making.SUMMARY]
    assert "---\npretty_name: Data of mine\n" in made.texts["data-card.md"]
    bill = json.loads(made.texts["sbom.cdx.json"])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    named = {one["name"]: one for one in bill["components"]}
    assert named["fastwarc"]["purl"].startswith("pkg:pypi/fastwarc@")
    assert named["fastwarc"]["licenses"] == [{"expression": "Apache-2.0"}]
    refs = {one["bom-ref"] for one in bill["components"]}
    assert all(set(one["dependsOn"]) <= refs for one in bill["dependencies"])

    # A page goes: the papers no longer fit, and made again they say what changed.
    tombstones.add(store, tombstones.asked_for(["https://n.example/2"]), "2026-01-02", "")
    build_recipe(tmp_path, store)
    assert outdated(store) == {"papers/mine/latest": ["source", "clean"]}
    renewed = again(store, "mine")
    assert renewed is not None
    assert not renewed.is_first
    assert any(line.startswith("+1 pages were left out") for line in renewed.changes)
    assert "A Lab" in renewed.texts[making.SUMMARY], "what a person said stays said"
    assert outdated(store) == {}
    # An artifact is found to hold what was forgotten: that is news for its papers too.
    folder = f"artifacts/clean/{_only(store, 'clean')}"
    for attempt in store.names(folder):
        if attempt.isdigit():
            store.replace(f"{folder}/{attempt}/{MARK}", b'["c1"]')
    assert outdated(store) == {"papers/mine/latest": ["clean"]}


def _only(store: Store, stage: str) -> str:
    """The build that was made last."""
    target = store.read_json(f"refs/mine/{stage}/latest.json")
    return str(target["build_id"][:16])
