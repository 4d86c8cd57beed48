"""A corpus grows, the model in use goes on learning from it, and is replaced by what is better."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from flows.build import build
from flows.cli.main import application
from flows.learn import learn
from flows.refresh import refresh
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.learn_section import LearnConfig
from tasks.learning.challenge import LearnError
from tests.flows.runs import artifacts
from tests.llm.tokens.small_tokenizer import library_texts, small_folder

pytestmark = pytest.mark.long
CONTEXT = 64
TEXTS = [part for text in library_texts()[:3] for part in text.split("\n\n") if len(part) > 160]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, prefect_server: None) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("learn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INGOT_HOME", str(folder / "home"))
        patch.setenv("INGOT_ROOT", str(folder))
        patch.chdir(folder)
        yield folder


def write_pages(site: Path, name: str, texts: list[str]) -> None:
    (site / "pages").mkdir(exist_ok=True)
    rows = [
        {
            "text": f"<html><body><p>{html.escape(text)}</p></body></html>",
            "url": f"https://x/{name}/{n}",
        }
        for n, text in enumerate(texts)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (site / "pages" / f"{name}.jsonl").write_text(lines)


@pytest.fixture(scope="module")
def recipe(site: Path) -> str:
    small_folder(site / "tokenizer")
    write_pages(site, "first", TEXTS[:120])
    pages = {"name": "shop", "paths": ["pages/*.jsonl"], "row_type": "text/html"}
    record: dict[str, Any] = {
        "name": "shop",
        "source": {"workers": 1, "sources": [pages]},
        "clean": {"workers": 1},
        "dedup": {"workers": 1, "validation_fraction": 0.2},
        "tokenizer": {"from_folder": "tokenizer"},
        "pack": {"sequence_length": CONTEXT, "workers": 1},
        "pretrain": {
            "hidden_size": 32,
            "layers": 1,
            "heads": 2,
            "key_value_heads": 1,
            "tokens": 60 * 8 * CONTEXT,
            "batch_tokens": 8 * CONTEXT,
            "decay_share": 0.3,
            "learning_rate": 0.01,
            "validate_every": 20,
            "precision": "fp32",
            "device": "cpu",
            "threads": 1,
            "compile": False,
        },
        "evaluate": {
            "prompts": [],
            "continuations": ["Return the"],
            "max_generated": 0,
            "new_tokens": 8,
            "device": "cpu",
            "threads": 1,
        },
        "learn": {"tokens": 0.25, "replay": 0.25},
    }
    (site / "shop.yaml").write_text(yaml.safe_dump(record))
    return "shop.yaml"


def of(site: Path, stage: str, channel: str) -> Artifact | None:
    return channels.resolve(Store(str(site / "home")), "shop", stage, channel)


def answer(*arguments: str) -> str:
    ended = CliRunner().invoke(application(), arguments, env={"COLUMNS": "200"})
    assert ended.exit_code == 0, ended.output + str(ended.exception)
    return ended.output


def test_the_model_in_use_goes_on_with_what_is_new(site: Path, recipe: str) -> None:
    build(recipe)
    with pytest.raises(LearnError, match="`ingot promote prod` says which one is in use"):
        learn(recipe=recipe)
    answer("promote", "prod", "-r", recipe)
    scratch = of(site, "pretrain", "prod")
    assert scratch is not None

    nothing = learn(recipe=recipe, return_state=True)
    assert nothing.name == "NothingNew"
    told = artifacts(nothing)["learn"]
    assert "| model in use (prod) | pretrain/" in told
    learned, now = (line.split(" | ")[1:] for line in told.splitlines() if "pack/" in line)
    assert learned == now
    assert "nothing new: the corpus is the one" in answer("learn", "-r", recipe)

    write_pages(site, "second", TEXTS[120:160])
    done = refresh(recipe, return_state=True)
    assert (
        done.message == "ran source, clean, dedup, tokenizer, pack"
    )  # training is left to `learn`

    waits = learn(LearnConfig(new_tokens=10**9), recipe, return_state=True)
    assert waits.name == "NothingNew"
    assert waits.message is not None
    assert "fewer than learn.new_tokens, 1,000,000,000: they wait for more" in waits.message
    assert "| replay | Completed |" in artifacts(waits)["run"]

    worse = learn(recipe=recipe, changes=["pretrain.learning_rate=0.9"], return_state=True)
    assert worse.name == "NotBetter"
    assert worse.message is not None
    assert worse.message.startswith(
        "prod stays as it is: shop-challenger:base is not better by bits_per_byte: "
    )
    assert "### Differences" in artifacts(worse)["compare"]
    assert "[compare](" in artifacts(worse)["run"]
    assert _same(of(site, "pretrain", "prod"), scratch)

    better = learn(recipe=recipe, return_state=True)
    assert (better.name, better.message) == (
        "Promoted",
        "shop-challenger:base is promoted as prod",
    )
    assert "| replay | Cached |" in artifacts(better)["run"]
    model = of(site, "pretrain", "prod")
    assert model is not None
    assert model.manifest.inputs["start"].build_id == scratch.manifest.build_id
    chosen = of(site, "replay", "prod")
    assert chosen is not None
    chosen_rows = chosen.facts["new_rows"] + chosen.facts["replayed_rows"]
    training = model.facts["training"]
    # A quarter of the 60 steps from scratch, or what the new rows and as many again fill.
    assert training["steps"] == pytest.approx(max(15, chosen_rows / 8), abs=1)
    assert chosen.facts["new_rows"] > 0
    assert chosen.facts["replayed_rows"] >= chosen.facts["new_rows"] // 3

    assert learn(recipe=recipe, return_state=True).name == "NothingNew"
    latest = of(site, "pretrain", "latest")
    assert _same(latest, scratch)  # what `ingot run` builds is the recipe's own


def _same(one: Artifact | None, other: Artifact | None) -> bool:
    return one is not None and other is not None and one.folder == other.folder
