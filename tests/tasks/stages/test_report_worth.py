"""The report says what each removal is worth, as an experiment found it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from llm.evaluation.bootstrap import Estimate
from llm.evaluation.differences.differences import Difference
from tasks.engine.errors import ExternalInputError, StoreError
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildResult
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store.store import Store
from tasks.findings.record import Finding, keep, read_item, record_file
from tasks.findings.result import Gain, Removal, Result, Worth
from tasks.stages.report import ReportConfig, guide_of
from tests.tasks.report_chain import STAGES, Page, built, configs, page_of, write_pages

TITLE = "What each removal is worth"
BITS = "bits_per_byte"
Done = dict[str, BuildResult]


def gain(change: float) -> Gain:
    """Of 50 documents, significant; less is better."""
    around = Estimate(change, change - 0.01, change + 0.01, 50)
    found = Difference(BITS, 2.0, 2.0 + change, around, 0.001, 0.001, 0.02, -1, None, None, 0)
    return Gain(found, (change,))


def trained_on(done: Done) -> int:
    documents: int = done["pack"].artifact.facts["splits"]["train"]["documents"]
    return documents


def finding(done: Done, change: float = 0.25) -> Finding:
    """That of an experiment on this chain: without dedup worse by `change`."""
    trained = trained_on(done)
    variants = (
        Worth("base", trained, 6_000, 2.0),
        Worth("no dedup", trained + 3, 6_300, 2.0 + change, (gain(change),)),
        Worth("same", trained, 6_000, 2.0, same=True),
    )
    base = {name: each.artifact.manifest.config for name, each in done.items()}
    return Finding(
        "shop",
        Result("trial", (0,), variants, 50, 0),
        {"base": base, "no dedup": {}, "same": base},
        {"no dedup": Removal("dedup", "")},
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pages(tmp_path_factory.mktemp("worth") / "pages")


def reported(home: Path, pages: Path) -> Done:
    wanted = configs(pages, *STAGES)
    wanted["report"] = ReportConfig(experiment="trial")
    return built(home, wanted)


def test_the_funnel_with_the_worth_of_each_removal(tmp_path: Path, pages: Path) -> None:
    alone = reported(tmp_path, pages)
    assert TITLE not in page_of(alone), "the experiment has not run"
    assert not alone["report"].artifact.manifest.externals
    wanted = {"report": ReportConfig(experiment="tril")}
    planner = Planner(chain(STAGES, wanted), wanted, "test", Store(str(tmp_path)), Selection())
    assert planner.plan()[-1].reasons[-1].startswith("nothing found by an experiment tril")
    store = Store(str(tmp_path))
    keep(store, finding(alone))

    done = reported(tmp_path, pages)
    page = Page(page_of(done))
    assert "worth" in page.anchors
    said = f"trial, on shop: {trained_on(done)} documents and 6,000 tokens of training text"
    assert said in page.text
    assert "corpus changed" not in page.text
    assert "removed, for the better" in page.text
    assert "all of dedup" in page.text
    # Without it worse by a quarter: with it better by so much.
    assert "300 tokens" in page.text
    assert "[-0.26, -0.24]" in page.text
    assert page.row("no dedup")[1:4] == ["2.2500", "+0.25 [+0.24, +0.26]", "worse"]
    assert page.row("same")[3] == "same model"
    set_as_pdf = guide_of(
        done["report"].artifact, {name: each.artifact for name, each in done.items()}, print
    )
    assert TITLE in [part.title for part in set_as_pdf.parts]

    assert reported(tmp_path, pages)["report"].artifact.folder == done["report"].artifact.folder
    keep(store, finding(alone, change=-0.1))
    again = reported(tmp_path, pages)
    assert "removed, for the worse" in Page(page_of(again)).text


def test_what_was_found_of_other_settings_is_not_shown(tmp_path: Path, pages: Path) -> None:
    found = finding(reported(tmp_path, pages))
    base = {**found.base, "dedup": {**found.base["dedup"], "threshold": 0.7}}
    keep(Store(str(tmp_path)), replace(found, configs={**found.configs, "base": base}))
    page = Page(page_of(reported(tmp_path, pages)))
    assert "Not shown, since dedup had other settings then" in page.text
    assert "all of dedup" not in page.text


def test_of_another_corpus_it_is_told(tmp_path: Path, pages: Path) -> None:
    found = finding(reported(tmp_path, pages))
    base, *others = found.result.variants
    result = replace(found.result, variants=(replace(base, documents=7), *others))
    keep(Store(str(tmp_path)), replace(found, result=result))
    done = reported(tmp_path, pages)
    said = f"Measured before the corpus changed: {trained_on(done)} documents by now"
    assert said in Page(page_of(done)).text


def test_an_experiment_that_ran_again_since_the_plan_is_told(tmp_path: Path, pages: Path) -> None:
    found = finding(reported(tmp_path, pages))
    store = Store(str(tmp_path))
    keep(store, found)
    planned = record_file(store, "trial")
    assert planned is not None
    [item] = planned.items
    assert read_item(store, item) == found
    keep(store, replace(found, recipe="other"))
    with pytest.raises(ExternalInputError, match="the experiment ran again meanwhile"):
        read_item(store, item)
    store.remove(item.path)
    with pytest.raises(ExternalInputError, match="its record was removed; run again"):
        read_item(store, item)


def test_a_damaged_record_is_told_with_its_path(tmp_path: Path, pages: Path) -> None:
    store, path = Store(str(tmp_path)), tmp_path / "experiments" / "trial.json"
    keep(store, finding(reported(tmp_path, pages)))
    whole = path.read_text()
    record = json.loads(whole)
    for damaged in (
        whole[:300],
        "[]",
        '{"version": 2}',
        json.dumps({**record, "variants": []}),
        json.dumps({**record, "removals": {"nobody": {"stage": "dedup", "reason": ""}}}),
    ):
        path.write_text(damaged)
        with pytest.raises(StoreError, match=r"trial\.json is no.*remove it"):
            reported(tmp_path, pages)
    path.write_text('{"version": 1}')
    assert TITLE not in page_of(reported(tmp_path, pages)), (
        "an earlier version's is as good as none"
    )


def test_an_experiment_is_named_as_its_file_is(tmp_path: Path) -> None:
    for wrong in ("a b", "../x", "trial.yaml"):
        with pytest.raises(ValidationError, match="experiment"):
            ReportConfig(experiment=wrong)
