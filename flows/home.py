"""Where things lie on this machine, and the environment Prefect needs to find them.

Imports nothing of Prefect: its settings are read at import, so this comes first.
"""

from __future__ import annotations

import os
from pathlib import Path

from llm.safe_path import safe_path
from tasks.engine.snapshot import root
from tasks.engine.store import Store


def home_url() -> str:
    """The artifact store: `INGOT_HOME` (a path or fsspec URL), else `.ingot` under the root."""
    return os.environ.get("INGOT_HOME") or str(root() / ".ingot")


def local_home() -> Path:
    """A local folder for what cannot lie in an object store: Prefect's database, logs, caches."""
    url = home_url()
    return root() / ".ingot" if "://" in url else Path(url)


def open_store() -> Store:
    """The store at `home_url()`."""
    return Store(home_url())


def prepare_environment() -> None:
    """Point Prefect, torch and the Hugging Face libraries at this project; quiet telemetry.

    What the user has set already stays as it is; Python children of whatever depth import Ingot
    from its own folder, not from one of the same name where the command is given.
    """
    prefect = local_home().resolve() / "prefect"
    wanted = {
        "PREFECT_HOME": str(prefect),
        "PREFECT_LOCAL_STORAGE_PATH": str(prefect / "results"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TORCHINDUCTOR_CACHE_DIR": str(local_home().resolve() / "cache" / "inductor"),
        "INGOT_HOME": home_url() if "://" in home_url() else str(Path(home_url()).resolve()),
        "INGOT_ROOT": str(root().resolve()),
    }
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
    os.environ.update(safe_path(os.environ))
