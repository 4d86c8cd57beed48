"""What stands beside a bar of progress."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.engine.progress import Figure
from tasks.panels.numbers import duration, number


def figures_text(figures: Mapping[str, Figure]) -> str:
    """Figures beside a bar, in words: "loss 4.705, 17,650 tokens/s, 12.0 s left"."""
    words = []
    for name, value in figures.items():
        if isinstance(value, str):
            words.append(f"{name} {value}")
        elif name == "seconds_left":
            if value:
                words.append(f"{duration(float(value))} left")
        elif name.endswith("per_second"):
            what = name.removesuffix("per_second").rstrip("_").replace("_", " ")
            words.append(f"{number(value)} {what}/s".replace(" /s", "/s"))
        else:
            words.append(f"{name.replace('_', ' ')} {number(value)}")
    return ", ".join(words)
