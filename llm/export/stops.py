"""Where an exported model stops."""

from __future__ import annotations

import json
from pathlib import Path


def stop_ids(folder: Path) -> list[int]:
    """Ids of the tokens that end generation, by a folder's generation_config.json."""
    config = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    ends = config["eos_token_id"]
    return list(ends) if isinstance(ends, list) else [ends]
