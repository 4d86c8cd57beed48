"""What is written down twice must agree: stage names, deployments, flows, forms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from prefect.flows import Flow
from pydantic import BaseModel

from deployments import bootstrap
from deployments.bootstrap import POOLS, declared, flow_of, parameters, pool
from flows.planning import planner_for
from tasks.engine.config import StageConfig
from tasks.engine.errors import MissingInputError, RecipeError
from tasks.engine.run.build import build
from tasks.engine.store.store import Store
from tasks.recipe import Recipe, load
from tasks.registry import STAGES
from tasks.stages.filter_rules import Line

FLOWS = ["build", "compare", "experiment", "forecast", "forget", "learn", "refresh"]


def test_every_stage_has_a_deployment_whose_flow_exists():
    entries = {flow_of(entry).name: entry for entry in declared()}
    assert set(entries) == {*FLOWS, *STAGES}
    for entry in entries.values():
        assert isinstance(flow_of(entry), Flow)
        assert entry["work_pool"]["name"] in POOLS


def test_sorted_by_name_deployments_are_in_the_order_of_the_chain():
    ordered = [flow_of(entry).name for entry in sorted(declared(), key=lambda each: each["name"])]
    assert ordered == [*FLOWS, *STAGES]
    tags = {flow_of(entry).name: entry["tags"][1] for entry in declared()}
    assert tags["build"] == "whole chain"
    assert (tags["fetch"], tags["pack"], tags["dpo"], tags["report"]) == (
        "data",
        "data",
        "training",
        "results",
    )


def entry_of(name: str) -> dict[str, Any]:
    return next(entry for entry in declared() if flow_of(entry).name == name)


def form(name: str) -> dict[str, Any]:
    """The schema the UI makes the form of a deployment from."""
    return bootstrap.form(entry_of(name), load("quickstart"), ["quickstart", "mine.yaml"])


def test_recipes_found_are_a_select_and_another_file_is_a_text():
    for name in ("build", "refresh", "dedup"):
        found, other = form(name)["properties"]["recipe"]["anyOf"]
        assert found["enum"] == ["quickstart", "mine.yaml"]
        assert "enum" not in other


def test_a_config_that_is_filled_in_is_no_choice_of_two():
    assert form("dedup")["properties"]["config"]["$ref"] == "#/definitions/DedupConfig"
    assert len(form("kto")["properties"]["config"]["anyOf"]) == 2, "quickstart has no kto"


def test_the_form_of_build_calls_things_as_the_command_does():
    titles = [field["title"] for field in form("build")["properties"].values()]
    selection = ["recipe", "changes", "only", "from", "force"]
    assert titles == [*selection, "approve_above", "dry_run", "save_as"]


def test_rules_and_groups_are_a_line_each_in_the_form():
    schema, entry = form("filter"), entry_of("filter")
    assert schema["definitions"]["Rule"]["type"] == "string"
    filled = parameters(entry, load("quickstart"), "quickstart")["config"]
    assert filled["groups"] == ["docs"]
    assert filled["rules"] == ["language in en", "quality_score best 0.9"]


@pytest.mark.parametrize("name", [*FLOWS, *STAGES])
def test_every_parameter_of_a_form_is_described(name):
    properties = form(name)["properties"]
    undescribed = [field for field, shown in properties.items() if not shown.get("description")]
    assert not undescribed
    assert not any("FieldInfo" in repr(shown) for shown in properties.values())


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_form_shows_every_field_of_its_config_described(stage):
    schema = form(stage)
    assert list(schema["properties"]) == [
        "config",
        "recipe",
        "inputs",
        "force",
        "dry_run",
        "save_as",
    ]
    models = {model.__name__: model for model in _models(STAGES[stage].config)}
    assert models.keys() <= schema["definitions"].keys()
    for name, model in models.items():
        if issubclass(model, Line):
            continue
        shown = schema["definitions"][name]["properties"]
        assert set(shown) == set(model.model_fields)
        assert all(field.get("description") for field in shown.values())
        assert [field["position"] for field in shown.values()] == list(range(len(shown)))


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A config and the small models its fields are lists of."""
    yield model
    for field in model.model_fields.values():
        for inner in get_args(field.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _models(inner)


@pytest.mark.parametrize("stage", STAGES)
def test_how_a_stage_runs_comes_last_in_its_form(stage):
    config = STAGES[stage].config
    shown = list(form(stage)["definitions"][config.__name__]["properties"])
    shared = [name for name in ("workers", "max_failed_shards", "pool") if name in shown]
    assert shown[-len(shared) :] == shared


def test_what_a_stage_adds_to_its_family_comes_first():
    shown = list(form("dpo")["definitions"]["DpoConfig"]["properties"])
    assert shown.index("beta") < shown.index("batch_size") < shown.index("pool")


@pytest.mark.parametrize("stage", STAGES)
def test_bounds_are_said(stage):
    config = STAGES[stage].config
    shown = form(stage)["definitions"][config.__name__]["properties"]
    for name, field in config.model_fields.items():
        for limit in field.metadata:
            value = next(
                (getattr(limit, kind) for kind in ("ge", "gt", "le", "lt") if hasattr(limit, kind)),
                None,
            )
            if value is not None:
                assert number_text(value) in shown[name]["description"], (name, limit)


def number_text(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"


def test_a_form_is_filled_from_the_recipe_and_goes_to_the_pool_it_names():
    entry = entry_of("dedup")
    recipe = load("quickstart", ["dedup.threshold=0.7", "dedup.pool=gpu"])
    filled = parameters(entry, recipe, "quickstart")
    assert filled["config"]["threshold"] == 0.7
    assert filled["recipe"] == "quickstart"
    assert pool(entry, recipe) == "gpu"
    assert pool(entry, load("quickstart")) == "cpu"


def test_the_schedule_of_refresh_is_off():
    (schedule,) = entry_of("refresh")["schedules"]
    assert schedule["active"] is False


def _recipe(*stages: str) -> Recipe:
    configs: dict[str, StageConfig] = {name: STAGES[name].config() for name in stages}
    return Recipe("pages", "", "warn", configs)


def test_a_missing_input_names_the_command_with_the_file_that_was_loaded(tmp_path):
    planner = planner_for(
        _recipe("source", "clean"), "my/pages.yaml", Store(str(tmp_path)), ["clean"]
    )
    with pytest.raises(MissingInputError, match=r"--recipe my/pages.yaml --only source"):
        planner.plan()


@pytest.mark.parametrize(
    "asked", [{"only": ["dedup"]}, {"start": ["dedup"]}, {"only": ["dedup"], "force": ["dedup"]}]
)
def test_what_was_never_built_is_an_error_on_every_route_and_is_not_built(tmp_path, asked):
    store = Store(str(tmp_path))
    planner = planner_for(_recipe("source", "clean", "dedup"), "pages.yaml", store, **asked)
    with pytest.raises(MissingInputError, match=r"ingot run --recipe pages.yaml --only clean"):
        build(planner)
    assert not store.exists("artifacts")


@pytest.mark.parametrize("name", ["source", "source/abc", "sauce/abc/0001"])
def test_an_input_of_another_form_is_refused(tmp_path, name):
    with pytest.raises(RecipeError, match="stage/build_id/attempt"):
        planner_for(_recipe("source"), "pages", Store(str(tmp_path)), inputs=[name])


def test_an_attempt_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingInputError, match="source/abc/0001 is not in"):
        planner_for(_recipe("source"), "pages", Store(str(tmp_path)), inputs=["source/abc/0001"])


def test_a_recipe_that_lacks_a_stage_is_named(tmp_path):
    file = tmp_path / "short.yaml"
    file.write_text("dedup: {}\n")
    with pytest.raises(RecipeError, match=r"short\.yaml: dedup reads .* which the recipe does not"):
        planner_for(load(str(file)), str(file), Store(str(tmp_path / "home")))
