"""The recipes that forms offer, as a select; a file of another place can be typed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

from flows.deployment_names import TAG


def offer_recipes(schema: dict[str, Any], recipes: Sequence[str]) -> None:
    """Make the field `recipe` of a form, where it has one, a select; in place."""
    field = schema["properties"].get("recipe")
    if field is None:
        return
    field.pop("type", None)
    field["anyOf"] = [
        {"type": "string", "enum": list(recipes), "title": "found"},
        {"type": "string", "title": "another file"},
    ]


def offer_one_more(recipe: str) -> None:
    """Add a recipe to what the forms there are offer."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments(deployment_filter=ours):
            _offer(client, deployment.id, deployment.parameter_openapi_schema or {}, recipe)


def _offer(client: SyncPrefectClient, deployment: Any, schema: dict[str, Any], recipe: str) -> None:
    kinds = schema.get("properties", {}).get("recipe", {}).get("anyOf", [])
    offered = next((kind["enum"] for kind in kinds if "enum" in kind), [recipe])
    if recipe not in offered:
        offer_recipes(schema, [*offered, recipe])
        client.update_deployment(deployment, DeploymentUpdate(parameter_openapi_schema=schema))
