"""What of this home runs, as its processes and its server say; nothing is started.

Asks the server over HTTP itself: importing Prefect would take longer than all the rest.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.home import home_url, local_home
from flows.processes import find_process, log_file
from flows.reports import report_address
from flows.server import find_server, healthy
from tasks.engine.store.lease import Holder, holder
from tasks.engine.store.store import Store

_SECONDS = 5.0
_UNDER_WAY = ("RUNNING", "PENDING", "CANCELLING", "PAUSED")
_SHOWN = 20
_WORKERS = ("worker-cpu", "worker-gpu")


@dataclass(frozen=True)
class Service:
    """A background process of this home.

    Attributes:
        address: where it is served, "" of a worker or where it does not run.
        pid: `None` = it does not run, or is none of ours.
        log: where it writes; "" = it was never started from here.
    """

    name: str
    running: bool
    address: str
    pid: int | None
    log: str


@dataclass(frozen=True)
class FlowRun:
    """A flow run that has not ended.

    Attributes:
        state: as the server calls it.
        since: ISO 8601, "" before it has begun.
    """

    id: str
    flow: str
    name: str
    state: str
    since: str


@dataclass(frozen=True)
class Schedule:
    """A schedule of a deployment.

    Attributes:
        when: a cron line or an interval, in words.
    """

    deployment: str
    name: str
    when: str
    active: bool


@dataclass(frozen=True)
class Building:
    """A stage that a process is building now, or that one left when it died.

    Attributes:
        held: it is under way; else its holder is gone and the next run takes over.
    """

    stage: str
    build: str
    held: bool
    host: str
    pid: int


@dataclass(frozen=True)
class Status:
    """All of it.

    Attributes:
        free_bytes: on the disk of a local home; `None` of one elsewhere.
        unanswered: why runs and schedules are not known; "" = they are.
    """

    home: str
    free_bytes: int | None
    services: tuple[Service, ...]
    runs: tuple[FlowRun, ...]
    schedules: tuple[Schedule, ...]
    building: tuple[Building, ...]
    unanswered: str


def status(store: Store) -> Status:
    """Of the home of this environment."""
    url = find_server()
    answers = url is not None and healthy(url)
    services = [_service("server", url if answers and url else "")]
    services.append(_service("reports", report_address(store) or ""))
    services += [_service(name, "") for name in _WORKERS]
    runs: tuple[FlowRun, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    unanswered = "no server runs; `ingot up` starts one"
    if url and not answers:
        unanswered = f"the server at {url} does not answer"
    elif url:
        try:
            runs, schedules, unanswered = tuple(_runs(url)), tuple(_schedules(url)), ""
        except (OSError, ValueError, KeyError) as error:
            unanswered = f"the server at {url} gave no answer to read: {error}"
    local = "://" not in home_url()
    return Status(
        home=home_url(),
        free_bytes=shutil.disk_usage(local_home()).free if local else None,
        services=tuple(services),
        runs=runs,
        schedules=schedules,
        building=tuple(_building(store)),
        unanswered=unanswered,
    )


def _service(name: str, address: str) -> Service:
    record = find_process(name)
    log = log_file(name)
    return Service(
        name,
        record is not None or bool(address),
        address.removesuffix("/api"),
        None if record is None else int(record["pid"]),
        str(log) if log.exists() else "",
    )


def _ask(url: str, path: str, question: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{url}/{path}",
        data=json.dumps(question).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        return json.load(answer)


def _runs(url: str) -> Iterator[FlowRun]:
    wanted = {"state": {"type": {"any_": list(_UNDER_WAY)}}}
    question = {"flow_runs": wanted, "limit": _SHOWN, "sort": "START_TIME_DESC"}
    found = _ask(url, "flow_runs/filter", question)
    flows = {each["flow_id"] for each in found}
    names = {}
    if flows:
        named = _ask(url, "flows/filter", {"flows": {"id": {"any_": sorted(flows)}}})
        names = {each["id"]: each["name"] for each in named}
    for each in found:
        yield FlowRun(
            each["id"],
            names.get(each["flow_id"], ""),
            each["name"],
            each.get("state_name") or each["state_type"],
            each.get("start_time") or "",
        )


def _schedules(url: str) -> Iterator[Schedule]:
    for deployment in _ask(url, "deployments/filter", {"sort": "NAME_ASC"}):
        for each in deployment.get("schedules") or ():
            rule = each["schedule"]
            when = rule.get("cron") or rule.get("rrule") or f"every {rule.get('interval', 0):g} s"
            yield Schedule(deployment["name"], each.get("slug") or "", when, bool(each["active"]))


def _building(store: Store) -> Iterator[Building]:
    """From the leases of local homes; of others, that would be a request for every build."""
    if not store.local:
        return
    for place in sorted(Path(store.root).glob("artifacts/*/*/lease")):
        found: Holder | None = None
        with contextlib.suppress(OSError, ValueError, KeyError):
            found = holder(store, place.relative_to(store.root).as_posix())
        if found is None or found.record["released"]:
            continue
        record = found.record
        stage, build = place.parts[-3:-1]
        yield Building(
            stage, build, not found.free(), str(record.get("host", "")), int(record["pid"])
        )
