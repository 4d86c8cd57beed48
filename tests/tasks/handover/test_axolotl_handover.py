"""A run handed over to Axolotl, and read by Axolotl's own code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llm.alignment.handover.axolotl import HandoverError
from llm.tables import TRAIN
from tasks.engine.run.plan import Planner
from tasks.handover.handing_over import hand_over
from tasks.stages.dpo import DpoConfig
from tasks.stages.sft import SftConfig
from tests.tasks.tuning_chain import QUICK, planned

AXOLOTL = "axolotl==0.19.0"
READER = Path(__file__).with_name("axolotl_reads.py")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Planner:
    settings: dict[str, Any] = QUICK
    folder = tmp_path_factory.mktemp("chain")
    planner = planned(folder, SftConfig(**settings), DpoConfig(sft_weight=0.2, **settings))
    # What the stages read is there; they are not built.
    from tasks.engine.run.execute import execute

    for stage in ("pretrain", "examples"):
        planner.row(stage)
        planner.artifacts[stage] = execute(planner.request(stage), planner.store).artifact
    planner.artifacts["sft"] = planner.artifacts["pretrain"]  # dpo's starting model
    return planner


@pytest.fixture(scope="module")
def axolotl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Axolotl in a folder of its own, without what it trains with."""
    folder = tmp_path_factory.mktemp("axolotl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    done = subprocess.run(
        [*pip, AXOLOTL, "pillow", "addict"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"{AXOLOTL} cannot be installed here: {done.stderr.strip()[-300:]}")
    return folder


def read(folder: Path, axolotl: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(READER)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(axolotl), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def trained_rows(chain: Planner, stage: str, folder: Path) -> list[dict[str, Any]]:
    """The rows of the training split as our trainer is given them."""
    from llm.alignment.data import Limit, instruction_rows, preference_rows
    from llm.tokens.chat import ChatEncoder

    request = chain.request(stage)
    artifact, output = request.inputs["examples"]
    find = instruction_rows if stage == "sft" else preference_rows
    chat = ChatEncoder(folder / "model")
    return find([artifact.data(output).table()], chat, Limit(128, True)).split(TRAIN).to_pylist()


def test_what_lies_in_the_folder(chain: Planner, tmp_path: Path) -> None:
    done = hand_over(chain.request("sft"), "tiny", tmp_path / "out")
    names = {path.name for path in done.folder.iterdir()}
    assert names == {
        "README.md",
        "axolotl.yaml",
        "handover.json",
        "model",
        "train.jsonl",
        "validation.jsonl",
    }
    lines = (done.folder / "train.jsonl").read_text().splitlines()
    assert len(lines) == done.rows["train"] > 20
    assert json.loads(lines[0])["messages"][-1]["train"] is True
    record = json.loads((done.folder / "handover.json").read_text())
    assert record["build_id"] == chain.request("sft").build_id
    with pytest.raises(HandoverError, match="is not an empty folder"):
        hand_over(chain.request("sft"), "tiny", tmp_path / "out")
    with pytest.raises(HandoverError, match="examples tunes no model"):
        hand_over(chain.request("examples"), "tiny", tmp_path / "other")


@pytest.mark.long
def test_axolotl_makes_the_same_tokens_and_labels_of_instructions(
    chain: Planner, axolotl: Path, tmp_path: Path
) -> None:
    folder = hand_over(chain.request("sft"), "tiny", tmp_path / "out").folder
    found = read(folder, axolotl)
    assert found["unknown"] == []
    ours = trained_rows(chain, "sft", folder)
    assert len(found["rows"]) == len(ours)
    for theirs, row in zip(found["rows"], ours, strict=True):
        # The frame's newline behind the last turn's end is theirs alone; nobody learns it.
        length = len(row["tokens"])
        assert theirs["input_ids"][:length] == row["tokens"]
        assert len(theirs["input_ids"]) <= length + 1
        labels = [
            token if learned else -100
            for token, learned in zip(row["tokens"], row["supervised"], strict=True)
        ]
        assert theirs["labels"] == labels + [-100] * (len(theirs["labels"]) - length)


@pytest.mark.long
def test_axolotl_makes_the_same_tokens_of_pairs(
    chain: Planner, axolotl: Path, tmp_path: Path
) -> None:
    folder = hand_over(chain.request("dpo"), "tiny", tmp_path / "out").folder
    found = read(folder, axolotl)
    assert found["unknown"] == []
    ours = trained_rows(chain, "dpo", folder)
    assert [(row["prompt"], row["chosen"], row["rejected"]) for row in found["rows"]] == [
        (row["prompt_tokens"], row["chosen_tokens"], row["rejected_tokens"]) for row in ours
    ]
