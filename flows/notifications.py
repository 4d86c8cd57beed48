"""Who is told of runs that failed, hang or are done: automations of the server, and one block.

The server sends, so it tells too of a run whose process is gone. What it sends to is a block: of
type Webhook, made here from an address, or any notification block of Prefect's (Slack, e-mail).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Literal
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.actions import CallWebhook, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from pydantic import HttpUrl, TypeAdapter, ValidationError

from tasks.engine.errors import IngotError

Occasion = Literal["failed", "stuck", "waiting", "finished"]
_BLOCK = "ingot-notifications"
_WEBHOOK = "webhook"
_RUN = "prefect.flow-run"
_RUNS = {"prefect.resource.id": f"{_RUN}.*"}
# A run says every three minutes that it lives.
_SILENT = timedelta(minutes=10)
# Of a server that knows its own address.
_PLACE = "{% if flow_run|ui_url %} {{ flow_run|ui_url }}{% endif %}"
_TEXT = (
    "Ingot: {{ flow.name }} ({{ flow_run.name }}) is {{ flow_run.state.name }}"
    "{% if flow_run.state.message %}: {{ flow_run.state.message }}{% endif %}" + _PLACE
)
_SILENT_TEXT = (
    "Ingot: {{ flow.name }} ({{ flow_run.name }}) has not been heard of for ten minutes: its "
    "process is gone or hangs." + _PLACE
)


class NotificationError(IngotError):
    """Nobody can be told so; says what to give."""


def _of_type(*kinds: str) -> EventTrigger:
    """Runs that come into a state of these types; those that found nothing new are not news."""
    match: dict[str, str | list[str]] = {
        **_RUNS,
        "prefect.state-type": list(kinds),
        "prefect.state-name": "!NothingNew",
    }
    return EventTrigger(match=match, expect={f"{_RUN}.*"}, for_each={"prefect.resource.id"})


def _silent() -> EventTrigger:
    """Runs that lived and say nothing any more, not even that they ended."""
    return EventTrigger(
        match=_RUNS,
        after={f"{_RUN}.heartbeat"},
        expect={f"{_RUN}.*"},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=_SILENT,
    )


def _late() -> EventTrigger:
    """Runs that no worker takes."""
    return EventTrigger(match=_RUNS, expect={f"{_RUN}.Late"}, for_each={"prefect.resource.id"})


# What is told on which occasion: name of the automation, what it waits for, what it says.
_AUTOMATIONS: dict[Occasion, tuple[tuple[str, EventTrigger, str], ...]] = {
    "failed": (("ingot: a run failed", _of_type("FAILED", "CRASHED"), _TEXT),),
    "stuck": (
        ("ingot: a run is silent", _silent(), _SILENT_TEXT),
        ("ingot: no worker takes a run", _late(), _TEXT),
    ),
    "waiting": (("ingot: a run waits for approval", _of_type("PAUSED"), _TEXT),),
    "finished": (("ingot: a run is done", _of_type("COMPLETED"), _TEXT),),
}
OCCASIONS: tuple[Occasion, ...] = tuple(_AUTOMATIONS)


def notify(to: str, occasions: Sequence[Occasion]) -> list[str]:
    """Have the server tell of these occasions, and of no others.

    Args:
        to: the address of a webhook, which is then kept as a block; or a notification block that
            the server has, as `slack-webhook/name`.

    Returns:
        The names of the automations that are on now.

    Raises:
        NotificationError: it is neither.
    """
    with get_client(sync_client=True) as client:
        slug, block = _block(client, to)
        wanted = {
            name: (trigger, text)
            for occasion in occasions
            for name, trigger, text in _AUTOMATIONS[occasion]
        }
        for name in _names():
            if name in wanted:
                _put(client, _automation(name, *wanted[name], slug, block))
            else:
                _remove(client, name)
    return list(wanted)


def notify_nobody() -> list[str]:
    """Remove the automations, and the webhook that was kept for them.

    Returns:
        The names of those that were there.
    """
    with get_client(sync_client=True) as client:
        gone = [name for name in _names() if _remove(client, name)]
        try:
            document = client.read_block_document_by_name(_BLOCK, _WEBHOOK)
        except ObjectNotFound:
            return gone
        client.delete_block_document(document.id)
    return gone


def _names() -> list[str]:
    return [name for each in _AUTOMATIONS.values() for name, _, _ in each]


def require_address(to: str) -> None:
    """Make sure that it can be one, or the name of a block, before a server is asked.

    Raises:
        NotificationError: it is neither.
    """
    if ":" not in to:
        return
    try:
        TypeAdapter(HttpUrl).validate_python(to)
    except ValidationError as error:
        raise NotificationError(
            "that is no address a server can send to; give one that begins with http:// or https://"
        ) from error


def _block(client: SyncPrefectClient, to: str) -> tuple[str, UUID]:
    """The type of a block and its id."""
    require_address(to)
    if "://" in to:
        headers = {"Content-Type": "application/json"}
        webhook = Webhook.model_validate({"method": "POST", "url": to, "headers": headers})
        return _WEBHOOK, webhook.save(_BLOCK, overwrite=True)
    slug, slash, name = to.partition("/")
    try:
        if not slash:
            raise ObjectNotFound(ValueError(to))
        return slug, client.read_block_document_by_name(name, slug).id
    except ObjectNotFound as error:
        raise NotificationError(
            f"{to!r} is neither an address (https://...) nor a block of this server; make one in "
            "the UI under Blocks, and name it as type/name, such as slack-webhook/team"
        ) from error


def _automation(
    name: str, trigger: EventTrigger, text: str, slug: str, block: UUID
) -> AutomationCore:
    action: CallWebhook | SendNotification
    if slug == _WEBHOOK:
        # Quoted by Jinja, so that a message with quotes in it stays JSON.
        payload = json.dumps({"text": "TEXT"}).replace('"TEXT"', _quoted(text))
        action = CallWebhook(block_document_id=block, payload=payload)
    else:
        action = SendNotification(block_document_id=block, subject=name, body=text)
    return AutomationCore(
        name=name,
        description="Made by `ingot notify`.",
        enabled=True,
        trigger=trigger,
        actions=[action],
    )


def _quoted(text: str) -> str:
    """A template whose result is the JSON string of what `text` gives."""
    return "{% set text %}" + text + "{% endset %}{{ text|string|tojson }}"


def _put(client: SyncPrefectClient, automation: AutomationCore) -> None:
    found = client.read_automations_by_name(automation.name)
    if found:
        # Prefect sends what was set; its server asks for defaults as well, and takes no owner.
        whole = AutomationCore.model_validate(automation.model_dump(exclude={"owner_resource"}))
        client.update_automation(found[0].id, whole)
    else:
        client.create_automation(automation)


def _remove(client: SyncPrefectClient, name: str) -> bool:
    found = client.read_automations_by_name(name)
    for each in found:
        client.delete_automation(each.id)
    return bool(found)
