"""What a filled-in form asks for: which fields somebody changed shows beside what it showed."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)


def wanted(config: M, own: M | None) -> M:
    """The config a filled-in form asks for: the recipe's, but for the fields somebody changed.

    Where nobody filled in a form, the config given is the one wanted.

    Args:
        own: the recipe's; none where it has none.
    """
    shown = _prefill(type(config))
    if shown is None or own is None:
        return config
    names = type(config).model_fields
    asked = {
        name: getattr(config, name)
        for name in names
        if getattr(config, name) != getattr(shown, name)
    }
    return type(config).model_validate({**{name: getattr(own, name) for name in names}, **asked})


def _prefill(kind: type[M]) -> M | None:
    """What the form showed before anybody changed it; `None` where nobody filled in a form."""
    from prefect.client.orchestration import get_client  # not before: commands have no forms
    from prefect.runtime import deployment, flow_run

    if deployment.id is None or flow_run.parent_flow_run_id is not None:
        return None
    with get_client(sync_client=True) as client:
        shown = client.read_deployment(UUID(deployment.id)).parameters.get("config")
    return None if shown is None else kind.model_validate(shown)
