"""Makes what `test_earlier_store.py` holds the present code against, with the code as it is now:

    python -m tests.tasks.engine.make_earlier_store

For when the meaning of an output changed on purpose and the version of its stage was raised.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tasks.engine.config import StageConfig
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store.store import Store
from tasks.recipe import load
from tasks.registry import STAGES

FOLDER = Path(__file__).parent / "earlier_store"
RECIPE = FOLDER / "recipe.yaml"
HOME = FOLDER / "home"
SETTINGS = FOLDER / "settings.json"
# The others train, or read what was trained: of them the settings are kept alone.
BUILT = (
    "source",
    "clean",
    "annotate",
    "filter",
    "dedup",
    "decontaminate",
    "tokenizer",
    "pack",
)
_MAX_BYTES = 280_000


def planner(home: Path) -> Planner:
    """Over the stages that were built; `INGOT_ROOT` is the folder of the recipe's pages."""
    recipe = load(str(RECIPE))
    configs = {name: recipe.configs[name] for name in BUILT}
    return Planner(chain(STAGES, configs), configs, recipe.name, Store(str(home)), Selection())


def settings(configs: Mapping[str, StageConfig]) -> dict[str, dict[str, object]]:
    """Of every stage its version, and the settings that decide its results."""
    return {
        name: {"version": STAGES[name].version, "settings": config.identity()}
        for name, config in configs.items()
    }


def _forget_the_machine(home: Path) -> None:
    """Take away what says where and by whom it was made."""
    for lease in home.glob("artifacts/*/*/lease"):
        shutil.rmtree(lease)
    for path in home.glob("artifacts/*/*/*/manifest.json"):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        manifest["environment"] = {}
        manifest["code"] |= {"commit": None, "dirty": None}
        path.write_text(json.dumps(manifest, separators=(",", ":")), encoding="utf-8")


def main() -> None:
    """Replace the store and the settings."""
    os.environ["INGOT_ROOT"] = str(FOLDER)
    shutil.rmtree(HOME, ignore_errors=True)
    build(planner(HOME))
    _forget_the_machine(HOME)
    written = json.dumps(settings(load(str(RECIPE)).configs), indent=1)
    SETTINGS.write_text(f"{written}\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    print(f"{FOLDER}: {size:,} bytes")
    if size > _MAX_BYTES:
        raise SystemExit(f"more than {_MAX_BYTES:,}: make the pages fewer or shorter")


if __name__ == "__main__":
    main()
