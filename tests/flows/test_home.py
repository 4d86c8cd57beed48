"""Where things lie is decided by the environment and the home, not by the folder one stands in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import home, processes
from llm.process.safe_path import CHECKOUT

FILES = {
    ".env": """
PREFECT_HOME={there}
PREFECT_PROFILES_PATH={there}/profiles.toml
PREFECT_SERVER_DATABASE_CONNECTION_URL=sqlite+aiosqlite:///{there}/x.db
PREFECT_RESULTS_LOCAL_STORAGE_PATH={there}/results
PREFECT_LOGGING_CONFIG_PATH={there}/logging.yml
PREFECT_SERVER_MEMO_STORE_PATH={there}/memo.toml
""",
    "prefect.toml": """
home = "{there}"
profiles_path = "{there}/profiles.toml"
[server]
memo_store_path = "{there}/memo.toml"
[server.database]
connection_url = "sqlite+aiosqlite:///{there}/x.db"
[results]
local_storage_path = "{there}/results"
[logging]
config_path = "{there}/logging.yml"
""",
    "pyproject.toml": """
[tool.prefect]
home = "{there}"
profiles_path = "{there}/profiles.toml"
[tool.prefect.server]
memo_store_path = "{there}/memo.toml"
[tool.prefect.server.database]
connection_url = "sqlite+aiosqlite:///{there}/x.db"
[tool.prefect.results]
local_storage_path = "{there}/results"
[tool.prefect.logging]
config_path = "{there}/logging.yml"
""",
}
PLACES = """
from flows.home import prepare_environment
prepare_environment()
from prefect.settings import get_current_settings
s = get_current_settings()
print(s.server.database.connection_url.get_secret_value())
print(s.home, s.profiles_path, s.results.local_storage_path, sep="\\n")
print(s.logging.config_path, s.server.memo_store_path, sep="\\n")
"""


def printed(folder: Path, program: str, **environment: str) -> list[str]:
    """The lines a program prints that is run in a folder, with nothing set for Prefect."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "INGOT_"))
    }
    ended = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(CHECKOUT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.parametrize("file", FILES)
def test_settings_of_another_project_do_not_move_the_state(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text(FILES[file].format(there=tmp_path / "there"))
    places = printed(tmp_path, PLACES, INGOT_HOME=str(tmp_path / "home"))
    prefect = tmp_path / "home" / "prefect"
    assert places == [
        f"sqlite+aiosqlite:///{prefect}/prefect.db",
        str(prefect),
        *[str(prefect / name) for name in ("profiles.toml", "results", "logging.yml")],
        str(prefect / "memo_store.toml"),
    ]


def test_what_the_environment_says_stays(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(FILES[".env"].format(there=tmp_path / "there"))
    database = f"sqlite+aiosqlite:///{tmp_path}/mine.db"
    places = printed(
        tmp_path,
        PLACES,
        INGOT_HOME="home",
        PREFECT_HOME="of-prefect",
        PREFECT_API_DATABASE_CONNECTION_URL=database,
        PREFECT_LOCAL_STORAGE_PATH=str(tmp_path / "kept"),
    )
    assert places[:2] == [database, str(tmp_path / "of-prefect")]
    assert places[3] == str(tmp_path / "kept")


def test_a_background_process_works_in_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    processes.start_process("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        record = processes.find_process("sleeper")
        assert record is not None
        (member,) = processes.family(record)
        assert member.cwd() == str(tmp_path / "prefect")
    finally:
        processes.stop_process("sleeper")


@pytest.mark.parametrize("given", ["~/x", "~/y/../x"])
def test_a_tilde_is_one_home(tmp_path: Path, given: str) -> None:
    (tmp_path / "y").mkdir()
    program = """
import os
from flows.home import home_url, local_home, open_store, prepare_environment
from tasks.engine.identity.snapshot import root
prepare_environment()
print(home_url(), local_home(), open_store().url, os.environ["PREFECT_HOME"], root(), sep="\\n")
"""
    places = printed(tmp_path, program, HOME=str(tmp_path), INGOT_HOME=given, INGOT_ROOT="~/y")
    x = str(tmp_path / "x")
    assert places == [x, x, x, f"{x}/prefect", str(tmp_path / "y")]


def test_an_address_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGOT_HOME", "memory://~/x")
    assert home.home_url() == "memory://~/x"


VACUUM = """
from flows.home import prepare_environment
prepare_environment()
from prefect.settings import get_current_settings
print(*sorted(get_current_settings().server.services.db_vacuum.enabled_vacuum_types))
"""


def test_old_runs_leave_the_database_unless_told_otherwise(tmp_path: Path) -> None:
    assert printed(tmp_path, VACUUM) == ["events flow_runs orphans"]
    kept = {"PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events"}
    assert printed(tmp_path, VACUUM, **kept) == ["events"]
