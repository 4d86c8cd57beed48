"""A site of a few HTML files and a recipe of three stages over it."""

from __future__ import annotations

from pathlib import Path

import yaml

WORDS = (
    "A river rises in the hills and runs through three counties before it meets the sea, and "
    "every mill on its banks once ground the corn of the villages around it. Today the wheels "
    "stand still; walkers follow the old path along the water and read the stones on the way."
)


def write_page(folder: Path, name: str, topic: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    body = "".join(f"<p>{topic} {number}: {WORDS} {topic}.</p>" for number in range(3))
    page = f"<html><head><title>{topic}</title></head><body><main>{body}</main></body></html>"
    (folder / name).write_text(page)


def write_recipe(file: Path, pages: Path) -> str:
    recipe = {
        "name": "rivers",
        "source": {
            "workers": 1,
            "sources": [{"name": "rivers", "paths": [f"{pages}/*.html"]}],
        },
        "clean": {"workers": 1},
        "dedup": {"workers": 1, "keep": ["longest", "doc_id"], "validation_fraction": 0.0},
    }
    file.write_text(yaml.safe_dump(recipe))
    return str(file)
