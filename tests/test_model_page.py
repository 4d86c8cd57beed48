"""docs/model.md is run, from its first snippet to its last, in one namespace as a reader would."""

from __future__ import annotations

import re
from pathlib import Path

import torch

PAGE = Path(__file__).parents[1] / "docs" / "model.md"


def snippets(text: str) -> list[str]:
    """Each python block, with as many empty lines before it as make its line numbers the page's."""
    return [
        "\n" * text.count("\n", 0, found.start(1)) + found.group(1)
        for found in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


def test_every_snippet_holds() -> None:
    found = snippets(PAGE.read_text(encoding="utf-8"))
    namespace: dict[str, object] = {"__name__": "model_page"}
    with torch.random.fork_rng():
        for snippet in found:
            exec(compile(snippet, str(PAGE), "exec"), namespace)


def test_every_part_shows_what_it_says() -> None:
    """A section is prose and one snippet with a claim in it; the list of papers has none."""
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    assert len(sections) > 10
    for section in sections:
        title, found = section.splitlines()[0], snippets(section)
        assert len(found) == (0 if title == "Papers" else 1), title
        assert all("\nassert " in snippet for snippet in found), title
