"""The training rate of a device: of this machine measured once, of others what is known."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llm.process.child import Child, ChildFailedError
from llm.training.planner import rates
from llm.training.planner.rates import Rate
from tasks.engine.errors import IngotError
from tasks.engine.stage.launch import launch

HERE = ("auto", "cpu", "cuda", "mps")
_SECONDS = 15.0  # that each of the sizes is trained for
_SIZES: list[str] = []  # none = those that suit the device


class UnusableDeviceError(IngotError):
    """The device that is asked for is not on this machine."""


@dataclass(frozen=True)
class Device:
    """Something to train on.

    Attributes:
        bytes: of memory that can be had; 0 = not known.
        one_machine: its memory is the machine's; there are no several of it in one.
    """

    rate: Rate
    bytes: int
    one_machine: bool


def find(device: str, precision: str, again: bool, tell: Callable[[str], None]) -> Device:
    """A device by its short name ("auto", "cpu", "h200") and its rate.

    Args:
        again: measure although it was measured before.
        tell: is given lines for the user while it is measured.

    Raises:
        UnusableDeviceError: it is not on this machine.
        UnknownRateError: it is none of this machine's kinds, and nobody measured it.
    """
    if device not in HERE:
        known = rates.measured_elsewhere(device)
        return Device(
            known, round(rates.MEMORY_GB.get(device.lower(), 0.0) * 1e9), one_machine=False
        )
    name, precision, memory, one_machine = _describe(device, precision)
    folder = Path(os.environ.get("INGOT_CACHE") or Path(tempfile.gettempdir()) / "ingot-cache")
    found = None if again else rates.read(folder, name, precision)
    if found is None:
        tell(f"measures how fast {name} trains in {precision}, once; a minute or two")
        _measure(folder, device, precision, tell)
        found = rates.read(folder, name, precision)
        if found is None:
            raise IngotError(f"{folder}/rates: what was measured of {name} cannot be read back")
    return Device(found, memory, one_machine)


def _describe(device: str, precision: str) -> tuple[str, str, int, bool]:
    """In a process of its own: who only plans has no need of torch."""
    with Child(None) as child:
        try:
            found: tuple[str, str, int, bool] = child.call(
                "llm.training.planner.measure:describe", device, precision
            )
        except ChildFailedError as error:
            if error.type_name != "DeviceError":
                raise
            raise UnusableDeviceError(error.message) from error
        return found


def _measure(folder: Path, device: str, precision: str, tell: Callable[[str], None]) -> None:
    def hear(event: dict[str, Any]) -> None:
        if event.get("event") == "log":
            tell(str(event["message"]))

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="measuring-") as scratch:
        result = Path(scratch) / "result.json"
        record = {
            "device": device,
            "precision": precision,
            "optimiser": "muon",
            "sizes": _SIZES,
            "seconds": _SECONDS,
            "scratch": scratch,
            "result": str(result),
        }
        launch("llm.training.planner", record, Path(scratch), hear, lambda: False, {})
        found = json.loads(result.read_text(encoding="utf-8"))
    day = datetime.now(UTC).date().isoformat()
    rates.keep(folder, found["device"], found["precision"], found["points"], day)
