"""`ingot up` and `ingot down`: everything on this machine, then all from the UI."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Recipe
from flows.home import local_home, open_store, require_writable
from flows.processes import running, start_process, stop_all, stop_process
from flows.reports import ensure_reports
from flows.server import ensure_server
from flows.systemd_unit import up_unit
from tasks.engine.errors import IngotError, ReadOnlyStoreError
from tasks.engine.identity.snapshot import root
from tasks.recipe import load

_POOLS = ("cpu", "gpu")
# How often a worker asks for runs that are due; by itself every ten, which whoever pressed the
# button waits for. Two cost it and the server some thousandths of a core.
_QUERY_SECONDS = ("PREFECT_WORKER_QUERY_SECONDS", "2")


def up(
    recipe: Recipe = "quickstart",
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Also start a worker for the gpu pool.")
    ] = False,
    systemd: Annotated[
        bool,
        typer.Option(
            "--systemd", help="Print a unit of systemd that does this, and start nothing."
        ),
    ] = False,
) -> None:
    """Start the server, work pools, limits, deployments and a worker. Safe to repeat."""
    load(recipe)  # a wrong name is told before anything is started
    if systemd:
        _print_unit(recipe, gpu)
        return
    require_writable()
    url, started = ensure_server()
    print(f"server {'started' if started else 'was running'}: {url.removesuffix('/api')}")
    ensure_reports(open_store())
    from flows.crashed_runs import report_crashed_runs

    for run in report_crashed_runs():
        print(f"flow run {run} was marked Crashed: its process is gone")
    # A process of its own: deployments may import flows, never the other way round.
    command = [sys.executable, "-P", "-m", "deployments.bootstrap", "--recipe", recipe]
    if subprocess.run(command, check=False).returncode:
        raise IngotError("the deployments could not be set up; what went wrong is above")
    serves = {"api": url, "home": os.environ["INGOT_HOME"], "root": os.environ["INGOT_ROOT"]}
    variable, seconds = _QUERY_SECONDS
    asking = {variable: os.environ.get(variable, seconds)}
    for pool in _POOLS if gpu else _POOLS[:1]:
        name = f"worker-{pool}"
        if running(name, **serves):
            print(f"{name} was running")
            continue
        stop_process(name)  # it listens to a server that is gone, or would fill another store
        worker = [sys.executable, "-P", "-m", "prefect", "worker", "start", "--type", "process"]
        limit = ["--limit", "1"] if pool == "gpu" else []
        command = [*worker, "--pool", pool, "--name", f"{pool}-1", *limit]
        start_process(name, command, asking, **serves)
        print(f"{name} started")
    print("once a model is made, `ingot serve` puts its chat page at http://127.0.0.1:8000")


def _print_unit(recipe: str, gpu: bool) -> None:
    settings = {
        name: os.environ[name] for name in ("INGOT_HOME", "INGOT_ROOT") if name in os.environ
    }
    program = Path(sys.executable).with_name("ingot")
    options = ["--recipe", recipe, *(["--gpu"] if gpu else [])]
    print(up_unit(program, options, root().resolve(), settings), end="")


def down() -> None:
    """Stop the workers and the server that were started from this home."""
    try:
        stopped = stop_all()
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise ReadOnlyStoreError(
            f"{local_home()} cannot be written by this user ({error.strerror}): nothing is started "
            "there, and what was is stopped by whoever may write there"
        ) from error
    print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(up)
    app.command()(down)
