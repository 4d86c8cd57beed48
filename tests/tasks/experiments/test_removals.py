"""What each removal in a funnel is worth, and what an experiment leaves for later questions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks.engine.store.store import Store
from tasks.experiments import worth
from tasks.experiments.definition import Experiment, Variant
from tasks.experiments.finding import finding, removal_of
from tasks.findings.record import keep, kept, measured
from tasks.findings.result import Removal, Result
from tasks.findings.worth_flow import worth_flow
from tasks.panels.markdown import markdown
from tasks.recipe import Recipe
from tasks.report.funnel import Step
from tasks.stages.dedup import DedupConfig
from tasks.stages.filter import FilterConfig
from tests.tasks.experiments.test_worth import bits, run

WORDS = {"column": "word_count", "minimum": 5}
LONG = {"column": "mean_word_length", "minimum": 2}


def recipe(rules: list[dict[str, Any]] | None, threshold: float = 0.8) -> Recipe:
    configs: dict[str, Any] = {"dedup": DedupConfig(threshold=threshold)}
    if rules is not None:
        configs["filter"] = FilterConfig.model_validate({"rules": rules})
    return Recipe("ground", "", "warn", configs)


def test_what_a_variant_does_without() -> None:
    base = recipe([WORDS, LONG])
    assert removal_of(base, recipe([LONG])) == Removal("filter", "word_count")
    assert removal_of(base, recipe([WORDS])) == Removal("filter", "mean_word_length")
    assert removal_of(base, recipe(None)) == Removal("filter", "")
    assert removal_of(base, recipe([WORDS, LONG], 0.9)) is None
    assert removal_of(base, recipe([LONG], 0.9)) is None
    assert removal_of(base, recipe([{**WORDS, "minimum": 6}, LONG])) is None
    assert removal_of(base, recipe([])) is None
    assert removal_of(base, base) is None


def trial(tmp_path: Path) -> tuple[Experiment, Result]:
    recipes = {
        "base": recipe([WORDS, LONG]),
        "without-word_count": recipe([LONG]),
        "bare": recipe(None),
        "near": recipe([WORDS, LONG], 0.9),
    }
    variants = tuple(Variant(name, {}, (each,)) for name, each in recipes.items())
    experiment = Experiment("trial", "ground.yaml", "ground", (0,), variants)
    changes = {"base": 0.0, "without-word_count": 0.2, "bare": -0.2, "near": 0.0}
    runs = [
        run(tmp_path, name, 0, [bits(change, 1)], 10 + place)
        for place, (name, change) in enumerate(changes.items())
    ]
    return experiment, worth.result(experiment, runs, resamples=1000)


def test_the_funnel_says_what_its_removals_are_worth(tmp_path: Path) -> None:
    experiment, found = trial(tmp_path)
    steps = [
        Step("clean", 50, None, 40, {"empty": 8}, {"broken": 2}),
        Step("filter", 40, 40, 30, {"word_count": 7, "mean_word_length": 3}, {}),
        Step("dedup", 30, 30, 25, {f"kind {n}": 1 for n in range(10)}, {}),
    ]
    flow = worth_flow(found, finding(experiment, found).removals, steps)
    streams = {(each.source, each.target): each for each in flow.streams}
    kept = [("into clean", "clean"), ("clean", "filter"), ("filter", "dedup")]
    assert [streams[each].count for each in kept] == [40, 30, 25]
    whole = streams["clean", "all of filter"]
    # Without the filter the model is better by .2: with it, worse by so much.
    assert (whole.count, whole.kind) == (10, "removed, for the worse")
    assert whole.words.splitlines()[0] == "200 tokens"
    assert whole.words.splitlines()[1:] == ["+0.2", "[+0.2, +0.2]"]
    rule = streams["all of filter", "filter: word_count"]
    assert (rule.count, rule.kind) == (7, "removed, for the better")
    assert rule.words.splitlines()[1:] == ["-0.2", "[-0.2, -0.2]"]
    assert streams["all of filter", "filter: mean_word_length"].words == ""
    assert streams["into clean", "clean: rejected"].count == 2
    assert streams["filter", "dedup: 4 other reasons"].count == 4
    assert "| all of filter | filter: word\\_count | 7 |" in markdown(flow)


def test_what_was_measured_is_found_again(tmp_path: Path) -> None:
    experiment, found = trial(tmp_path)
    store = Store(str(tmp_path / "home"))
    over = finding(experiment, found)
    keep(store, over)
    other = replace(over, recipe="elsewhere", result=replace(found, name="other"))
    keep(store, other)
    assert kept(store, "trial") == over
    assert kept(store, "never") is None
    known = {each.variant: each for each in measured(store, "ground")}
    assert list(known) == ["without-word_count", "bare", "near"]
    assert known["near"].configs["dedup"]["threshold"] == 0.9
    assert known["near"].base["dedup"]["threshold"] == 0.8
    assert known["bare"].verdict == "better"
    gain = found.variants[2].gain
    assert gain is not None
    assert known["bare"].change == gain.difference.change
    assert list(measured(store, "nobody")) == []
    (tmp_path / "home" / "experiments" / ".trial.json.5f3a").write_text("half wri")
    assert len(list(measured(store, "ground"))) == 3, "what is being written is no record yet"
