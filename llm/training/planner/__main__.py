"""`python -m llm.training.planner run.json`: measure the rate of a device."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from llm.process.main import run_launched
from llm.process.run_file import from_record, read_record

if TYPE_CHECKING:
    from llm.training.planner.measure import Measuring


def main(arguments: list[str]) -> int:
    """Measure; the exit code."""
    return run_launched("llm.training.planner", arguments, _read, _measure)


def _read(path: Path) -> Measuring:
    from llm.training.planner.measure import Measuring

    return from_record(Measuring, read_record(path), str(path))


def _measure(run: Measuring) -> None:
    from llm.training import devices
    from llm.training.planner.measure import measure

    device = devices.find(run.device)
    found = {
        "device": devices.name_of(device),
        "precision": devices.precision_on(device, run.precision),
        "points": measure(run),
    }
    run.result.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
