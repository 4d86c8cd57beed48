"""`ingot status` and `ingot doctor`: what runs here, and what stands in the way."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.checks import checks
from flows.cli.options import AsJson
from flows.home import open_store
from flows.status import Status
from flows.status import status as look
from tasks.panels.numbers import size

_COLOURS = {"ok": "green", "warn": "yellow", "bad": "red"}


def status(as_json: AsJson = False) -> None:
    """Show what of this home runs: server, workers, flow runs, schedules, stages being built."""
    found = look(open_store())
    if as_json:
        print(json.dumps(asdict(found), indent=1))
        return
    free = "" if found.free_bytes is None else f", {size(found.free_bytes)} free"
    print(f"home {found.home}{free}")
    console = Console()
    for table in _tables(found):
        console.print(table)
    if found.unanswered:
        print(f"runs and schedules are not known: {found.unanswered}")


def _tables(found: Status) -> list[Table]:
    services = Table("service", "", "address", "process", "log", box=None, pad_edge=False)
    for each in found.services:
        running = "[green]runs[/]" if each.running else "-"
        process = "" if each.pid is None else str(each.pid)
        services.add_row(each.name, running, each.address, process, escape(each.log))
    shown = [services]
    if found.runs:
        runs = Table("flow", "run", "state", "since", box=None, pad_edge=False)
        for run in found.runs:
            runs.add_row(run.flow, run.name, run.state, run.since[:19].replace("T", " "))
        shown.append(runs)
    if found.schedules:
        schedules = Table("deployment", "schedule", "when", "", box=None, pad_edge=False)
        for schedule in found.schedules:
            active = "[green]on[/]" if schedule.active else "off"
            schedules.add_row(schedule.deployment, schedule.name, schedule.when, active)
        shown.append(schedules)
    if found.building:
        building = Table("stage", "build", "process", "", box=None, pad_edge=False)
        for stage in found.building:
            held = "being built" if stage.held else "[yellow]left; the next run takes over[/]"
            building.add_row(stage.stage, stage.build, f"{stage.pid} on {stage.host}", held)
        shown.append(building)
    return shown


def doctor(as_json: AsJson = False) -> None:
    """Look over this machine: packages, compiler, disk, memory, server; exit 1 if something is bad.

    Nothing is changed or started.
    """
    found = checks()
    if as_json:
        print(json.dumps([asdict(each) for each in found], indent=1))
    else:
        table = Table("", "what", "found", "what to do", box=None, pad_edge=False)
        for each in found:
            verdict = f"[{_COLOURS[each.verdict]}]{each.verdict}[/]"
            table.add_row(verdict, each.name, escape(each.said), escape(each.way_out))
        Console().print(table)
    if any(each.verdict == "bad" for each in found):
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(status)
    app.command()(doctor)
