"""Where things lie on this machine, and the environment Prefect needs to find them.

Imports nothing of Prefect: its settings are read at import, so this comes first.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from llm.process.safe_path import safe_path
from tasks.engine.errors import ReadOnlyStoreError, StoreFullError
from tasks.engine.identity.snapshot import root
from tasks.engine.store.space import full, room_left, space_checked
from tasks.engine.store.store import Store

# Notes, logs and the server's database need this much, whatever is built.
_MIN_ROOM = 4_000_000
# Any of these in the environment is the user's choice of a database.
_DATABASE = tuple(
    f"PREFECT_{part}_DATABASE_{what}"
    for part in ("SERVER", "API")
    for what in ("CONNECTION_URL", "DRIVER", "HOST", "NAME")
)


def home_url() -> str:
    """The artifact store: `INGOT_HOME` (a path or fsspec URL), else `.ingot` under the root."""
    value = os.environ.get("INGOT_HOME")
    if not value:
        return str(root() / ".ingot")
    # The shell leaves `~` alone within quotes, and whoever is told may or may not expand it.
    return value if "://" in value else os.path.expanduser(value)  # noqa: PTH111 - no error


def local_home() -> Path:
    """A local folder for what cannot lie in an object store: Prefect's database, logs, caches."""
    url = home_url()
    return root() / ".ingot" if "://" in url else Path(url)


def open_store() -> Store:
    """The store at `home_url()`."""
    return Store(home_url())


def prepare_environment() -> None:
    """Point Prefect, torch and the Hugging Face libraries at this project; quiet telemetry.

    What the user has set already stays as it is, with paths of Ingot's own made absolute; Python
    children of whatever depth import Ingot from its own folder, not from one of the same name
    where the command is given.
    """
    _place_state()
    cache = local_home().resolve() / "cache"
    wanted = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # Logs and artifacts of every run lie in its database; after 90 days they go with the run.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "INGOT_CACHE": str(cache),  # of trainers: what can be found out again
    }
    if "HF_HUB_OFFLINE" not in os.environ:
        wanted["INGOT_KEPT_OFF_HUB"] = "1"  # not by the user: what a recipe names there is fetched
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
    # A child may start in another folder, where a relative path means another home.
    home = home_url()
    os.environ["INGOT_HOME"] = home if "://" in home else str(Path(home).resolve())
    os.environ["INGOT_ROOT"] = str(root().resolve())
    os.environ.update(safe_path(os.environ))


def _place_state() -> None:
    """Say outright where Prefect keeps what it keeps.

    What is not in the environment Prefect takes from `.env`, `prefect.toml` or `pyproject.toml` in
    the current folder, which may be another project's.
    """
    value = os.environ.get("PREFECT_HOME")
    prefect = Path(value).expanduser() if value else local_home() / "prefect"
    prefect = prefect.resolve()
    os.environ["PREFECT_HOME"] = str(prefect)
    places = {
        ("PREFECT_PROFILES_PATH",): str(prefect / "profiles.toml"),
        ("PREFECT_RESULTS_LOCAL_STORAGE_PATH", "PREFECT_LOCAL_STORAGE_PATH"): str(
            prefect / "results"
        ),
        ("PREFECT_LOGGING_CONFIG_PATH", "PREFECT_LOGGING_SETTINGS_PATH"): str(
            prefect / "logging.yml"
        ),
        ("PREFECT_SERVER_MEMO_STORE_PATH", "PREFECT_MEMO_STORE_PATH"): str(
            prefect / "memo_store.toml"
        ),
    }
    if not any(os.environ.get(name) for name in _DATABASE):
        places[_DATABASE[:1]] = f"sqlite+aiosqlite:///{prefect / 'prefect.db'}"
    for (name, *older), place in places.items():
        # Under its first name a setting beats one that a file has under any other.
        chosen = [os.environ[other] for other in (name, *older) if os.environ.get(other)]
        os.environ[name] = chosen[0] if chosen else place


def require_writable() -> None:
    """For commands that write: told in one line before anything is started.

    Raises:
        ReadOnlyStoreError: the home, or the folder for what lies on this machine, is not to be
            written by this user.
        StoreFullError: there is no room for even the little that every run writes.
    """
    for folder in {local_home(), *([Path(home_url())] if "://" not in home_url() else [])}:
        probe = folder / f".writable-{os.getpid()}"
        is_full = ""
        try:
            with space_checked(folder, _MIN_ROOM):
                folder.mkdir(parents=True, exist_ok=True)
                probe.write_bytes(b"1")
        except StoreFullError as error:
            is_full = str(error)
        except OSError as error:
            raise ReadOnlyStoreError(
                f"{folder} cannot be written ({error.strerror}): what only reads (plan, why, diff, "
                "trace, removed, report, verify) works, what builds or changes does not. Give this "
                "user write access, or choose another home (INGOT_HOME)"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()
        if is_full or room_left(folder) < _MIN_ROOM:
            from tasks.engine.upkeep.gc import advice  # only now: it needs all that a stage writes

            told = is_full or full(folder, _MIN_ROOM)
            raise StoreFullError(f"{told}. {advice(open_store())}")
