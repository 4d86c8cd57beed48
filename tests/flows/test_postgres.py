"""Prefect's server on Postgres: one that this test sets up, where its programs are installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from flows.processes import free_port
from tests.flows.command import RECIPE, ingot

NAME, PASSWORD = "prefect", "of-this-test-alone"


@dataclass(frozen=True)
class Postgres:
    """A server of its own folder and port."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://{NAME}:{PASSWORD}@127.0.0.1:{self.port}/{NAME}"

    def ask(self, query: str) -> list[str]:
        """The lines of an answer."""
        asked = ["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", NAME, "-d", NAME, "-Atc"]
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        done = subprocess.run(
            [*asked, query], capture_output=True, text=True, check=True, env=environment
        )
        return done.stdout.split("\n")[:-1]


def as_owner(*command: str | Path) -> list[str]:
    """The programs of Postgres refuse to run as root."""
    words = [str(word) for word in command]
    return ["runuser", "-u", "postgres", "--", *words] if os.geteuid() == 0 else words


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    for program in ("initdb", "postgres", "createdb", "psql", "pg_isready"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not on the PATH: apt-get install postgresql")
    port = free_port(5500)
    base = Path("/tmp") / f"ingot-postgres-{os.getpid()}"  # open to the user it runs as
    base.mkdir(mode=0o755)
    if os.geteuid() == 0:
        shutil.chown(base, "postgres")
    secret = base / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    data = base / "data"
    made = ["-U", NAME, "--pwfile", secret, "--auth", "scram-sha-256", "--no-sync"]
    subprocess.run(as_owner(shutil.which("initdb") or "", "-D", data, *made), check=True, cwd="/")
    served = ["-h", "127.0.0.1", "-p", str(port), "-k", base, "-c", "fsync=off"]
    process = subprocess.Popen(
        as_owner(shutil.which("postgres") or "", "-D", data, *served), cwd="/"
    )
    try:
        server = Postgres(base, port)
        ready = ["pg_isready", "-h", "127.0.0.1", "-p", str(port), "-t", "60"]
        while subprocess.run(ready, check=False).returncode:
            assert process.poll() is None
        made_by = {**os.environ, "PGPASSWORD": PASSWORD}
        subprocess.run(
            ["createdb", "-h", "127.0.0.1", "-p", str(port), "-U", NAME, NAME],
            check=True, env=made_by,
        )  # fmt: skip
        yield server
    finally:
        # Its first process alone is told, to end without waiting for clients; it ends the others.
        first = data / "postmaster.pid"
        if process.poll() is None and first.exists():
            os.kill(int(first.read_text().split()[0]), signal.SIGINT)
        process.wait(30)
        shutil.rmtree(base)


@pytest.mark.long
def test_runs_and_what_they_show_lie_in_postgres(
    environment: dict[str, str], postgres: Postgres
) -> None:
    elsewhere = {**environment, "PREFECT_SERVER_DATABASE_CONNECTION_URL": postgres.url}
    said = ingot(elsewhere, "up", "--recipe", RECIPE)
    try:
        address = said.split("server started: ")[1].split()[0]
        ingot(elsewhere, "run", "--recipe", RECIPE, "--only", "source")
        assert postgres.ask("select state_type from flow_run") == ["COMPLETED"]
        stored = postgres.ask("select distinct key from artifact where key is not null")
        assert {"plan", "stage-source"} <= set(stored)
        assert int(postgres.ask("select count(*) from deployment")[0]) > 20
        assert postgres.ask("select count(*) from log") != ["0"]
        with SyncPrefectClient(f"{address}/api") as client:
            assert [run.state_name for run in client.read_flow_runs()] == ["Completed"]
    finally:
        ingot(elsewhere, "down")
    assert not (Path(environment["INGOT_HOME"]) / "prefect" / "prefect.db").exists()
    assert postgres.ask("select state_type from flow_run") == ["COMPLETED"], (
        "it outlives the server"
    )
