"""What is written down twice must agree: stage names, deployments, flows, forms."""

from __future__ import annotations

from typing import get_args

import pytest
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema

from deployments.bootstrap import POOLS, declared, flow_of, parameters, pool
from flows.planning import StageName, planner_for
from tasks.engine.config import StageConfig
from tasks.engine.errors import MissingInputError, RecipeError
from tasks.engine.store import Store
from tasks.recipe import Recipe, load
from tasks.registry import STAGES


def test_the_form_offers_every_stage_in_order():
    assert list(get_args(StageName)) == list(STAGES)


def test_every_stage_has_a_deployment_whose_flow_exists():
    entries = {entry["name"]: entry for entry in declared()}
    assert set(entries) == {"build", "refresh", *STAGES}
    for name, entry in entries.items():
        flow = flow_of(entry)
        assert isinstance(flow, Flow)
        assert flow.name == name
        assert entry["work_pool"]["name"] in POOLS


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_form_shows_every_field_of_its_config_described(stage):
    entry = next(entry for entry in declared() if entry["name"] == stage)
    schema = parameter_schema(flow_of(entry)).model_dump_for_openapi()
    assert list(schema["properties"]) == ["config", "recipe", "inputs", "force"]
    config = STAGES[stage].config
    form = schema["definitions"][config.__name__]["properties"]
    assert set(form) == set(config.model_fields)
    assert all(field.get("description") for field in form.values())


def test_a_form_is_filled_from_the_recipe_and_goes_to_the_pool_it_names():
    entry = next(entry for entry in declared() if entry["name"] == "dedup")
    recipe = load("quickstart", ["dedup.threshold=0.7", "dedup.pool=gpu"])
    filled = parameters(entry, recipe, "quickstart")
    assert filled["config"]["threshold"] == 0.7
    assert filled["recipe"] == "quickstart"
    assert pool(entry, recipe) == "gpu"
    assert pool(entry, load("quickstart")) == "cpu"


def test_the_schedule_of_refresh_is_off():
    (schedule,) = next(entry for entry in declared() if entry["name"] == "refresh")["schedules"]
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


@pytest.mark.parametrize("name", ["source", "source/abc", "sauce/abc/0001"])
def test_an_input_of_another_form_is_refused(tmp_path, name):
    with pytest.raises(RecipeError, match="stage/recipe_id/attempt"):
        planner_for(_recipe("source"), "pages", Store(str(tmp_path)), inputs=[name])


def test_an_attempt_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingInputError, match="source/abc/0001 is not in"):
        planner_for(_recipe("source"), "pages", Store(str(tmp_path)), inputs=["source/abc/0001"])


def test_a_recipe_that_lacks_a_stage_is_named(tmp_path):
    file = tmp_path / "short.yaml"
    file.write_text("dedup: {}\n")
    with pytest.raises(RecipeError, match=r"short\.yaml: dedup reads .* which the recipe does not"):
        planner_for(load(str(file)), str(file), Store(str(tmp_path / "home")))
