"""The summary of training content of a recipe with all that it asks about: a site that is crawled,
documentation of packages, files of one's own, and a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks.engine.config import StageConfig
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store.store import Store
from tasks.papers.fields import filled_share, tally
from tasks.papers.papers import write
from tasks.registry import STAGES
from tests.llm.tokens.small_tokenizer import library_texts
from tests.test_kill_stages import TRAINING, write_rows
from tests.web_server import Reply, WebServer

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

PAGES, OWN = 12, 40


def serve_site(server: WebServer, texts: list[str]) -> None:
    headers = {"Content-Type": "text/html", "Last-Modified": "Mon, 05 Oct 2026 10:00:00 GMT"}
    for number, text in enumerate(texts):
        body = f"<main><h1>Page {number}</h1><p>{text}</p><a href='/{number + 1}'>on</a></main>"
        page = f"<html lang='en'><body>{body}</body></html>"
        server.serve(f"/{number or ''}", Reply(page.encode(), headers=headers))


def configs(server: WebServer, own: Path) -> dict[str, StageConfig]:
    record: Mapping[str, Mapping[str, Any]] = {
        **TRAINING,
        "fetch": {
            "http": [{"name": "site", "seeds": [f"{server.url}/"], "delay_seconds": 0}],
            "private_hosts": ["127.0.0.1"],
            "user_agent": "reader (reader@example.org)",
            "workers": 1,
        },
        "source": {
            "workers": 1,
            "sources": [
                {"name": "site", "kind": "warc", "fetched": "site", "license": "CC-BY-4.0"},
                {"name": "docs", "kind": "pydocs", "distributions": ["xxhash", "hypothesis"]},
                {"name": "notes", "paths": [str(own)]},
            ],
        },
        "clean": {"workers": 1},
        "annotate": {"workers": 1},
        "filter": {"workers": 1, "mask": ["email"]},
        "dedup": {"workers": 1, "validation_fraction": 0.1},
        "export": {"gguf": []},
    }
    return {name: STAGES[name].config.model_validate(each) for name, each in record.items()}


def test_what_provenance_can_say_of_a_full_recipe_is_filled_in(tmp_path: Path) -> None:
    texts = [part for part in library_texts()[0].split("\n\n") if len(part) > 400]
    write_rows(tmp_path / "notes", "0.jsonl", texts[PAGES : PAGES + OWN])
    store = Store(str(tmp_path / "home"))
    with WebServer().running() as server:
        serve_site(server, texts[:PAGES])
        wanted = configs(server, tmp_path / "notes")
        build(Planner(chain(STAGES, wanted), wanted, "all", store, Selection()))
    made = write(store, "all", "latest", {}, "").fields

    counts = tally(made)
    assert sum(counts.values()) == len(made)
    assert counts["given"] == 0
    assert counts["asked"] == sum(not field.derivable for field in made) == 16
    assert counts["unknown"] == 0, [field.key for field in made if field.who == "unknown"]
    assert filled_share(made) >= 0.9
    found = {field.key: field for field in made}
    # So many of these say that there is nothing of the kind, which is an answer too.
    negative = {
        key for key, field in found.items() if str(field.value).startswith(("No ", "No:", "None:"))
    }
    assert negative == {
        "model.dependencies", "synthetic.used", "rights.measures", "illegal.measures",
    }  # fmt: skip
    # Each has the outputs it was read from, with their hashes; no stage made synthetic text here.
    bare = [field.key for field in made if field.derivable and not field.evidence]
    assert bare == ["synthetic.used", "synthetic.modalities", "synthetic.models"]
    assert all(len(one.data_id) == 64 for field in made for one in field.evidence)

    assert found["crawled.used"].value == "Yes."
    assert found["crawled.crawlers"].value == "reader (reader@example.org)"
    assert [row["source"] for row in rows(found["crawled.sources"].value)] == ["site"]
    assert [row["source"] for row in rows(found["public.datasets"].value)] == ["docs"]
    assert {row["domain"] for row in rows(found["crawled.domains"].value)} >= {"127.0.0.1"}
    assert "en" in {row["language"] for row in rows(found["data.languages"].value)}
    licences = {row["licence"] for row in rows(found["data.licences"].value)}
    assert {"CC-BY-4.0", "BSD-2-Clause"} <= licences


def rows(value: object) -> list[Mapping[str, Any]]:
    assert isinstance(value, list)
    return value
