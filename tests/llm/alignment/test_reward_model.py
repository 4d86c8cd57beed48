"""A reward model's folder, by transformers' own class; what a folder must hold; the run."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from llm.alignment import reward_model
from llm.alignment.data import EqualPairError
from llm.alignment.reward_model import RewardModel, RewardModelError
from llm.model.config_file import ModelFolderError, TokenizerMismatchError
from llm.model.folder import load as load_language_model
from llm.process.parent import StoppedError, StopRequest
from tests.llm.alignment.tiny_run import Listener, model_folder, polite, quiet, run_to_the_end


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("given")
    return model_folder(folder), polite(folder / "preferences.parquet")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, given: tuple[Path, Path]) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "reward"
    reward_model.save(RewardModel(load_language_model(given[0]), 3), folder, given[0])
    return folder


trained = partial(run_to_the_end, "reward")


def test_transformers_gives_the_same_rewards(saved: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, theirs = (
        reward_model.load(saved),
        AutoModelForSequenceClassification.from_pretrained(str(saved)),
    )
    assert theirs.config.id2label == {0: "reward"}
    tokenizer = AutoTokenizer.from_pretrained(str(saved))
    texts = ["one", "a longer answer than the first", "and one more of another length"]
    rows = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    ours = reward_model.score(model, model.transformer.hidden, rows, 16, quiet)
    padded = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
    kept = {name: padded[name] for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        expected = theirs(**kept).logits[:, 0].double().numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert len({round(float(value), 4) for value in ours}) == 3


def test_pairs_are_told_apart(tmp_path: Path, given: tuple[Path, Path]) -> None:
    counts = trained(tmp_path, given, epochs=6)
    assert counts["train_rows"] + counts["validation_rows"] == counts["used"] == 60
    rows = pq.read_table(tmp_path / "results" / "pairs.parquet").to_pylist()
    held_out = [row for row in rows if row["split"] == "validation"]
    assert np.mean([row["margin"] > 0 for row in held_out]) >= 0.9
    # What is published says what the table says.
    model, examples = reward_model.load(tmp_path / "out"), tmp_path / "results" / "examples.parquet"
    for side in ("chosen", "rejected"):
        tokens = [
            [*row["prompt_tokens"], *row[f"{side}_tokens"]]
            for row in pq.read_table(examples).to_pylist()
        ]
        found = reward_model.score(model, model.transformer.hidden, tokens, 500, quiet)
        np.testing.assert_allclose([row[f"{side}_reward"] for row in rows], found, atol=1e-4)
        lengths = [len(row[f"{side}_tokens"]) for row in pq.read_table(examples).to_pylist()]
        assert [row[f"{side}_tokens"] for row in rows] == lengths


def test_a_stopped_run_goes_on_as_if_undisturbed(tmp_path: Path, given: tuple[Path, Path]) -> None:
    trained(tmp_path / "whole", given)
    stop = StopRequest()
    with pytest.raises(StoppedError, match="step 3"):
        trained(tmp_path / "cut", given, Listener(stop, 2), stop)
    listener = Listener()
    trained(tmp_path / "cut", given, listener, StopRequest())
    assert listener.began[0][1] == 3
    one, two = (load_file(tmp_path / n / "out" / "model.safetensors") for n in ("whole", "cut"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_preferences_that_are_equal(tmp_path: Path, given: tuple[Path, Path]) -> None:
    table = pq.read_table(given[1])
    place = table.schema.get_field_index("rejected")
    same = table.set_column(place, "rejected", table.column("chosen"))
    pq.write_table(same, tmp_path / "same.parquet")
    with pytest.raises(EqualPairError, match="chosen and rejected are the same tokens"):
        trained(tmp_path, (given[0], tmp_path / "same.parquet"))


def test_a_language_model_is_no_reward_model(given: tuple[Path, Path]) -> None:
    with pytest.raises(ModelFolderError, match=r"is no reward model: .* for score\.weight"):
        reward_model.load(given[0])


def test_weights_that_do_not_fit(tmp_path: Path, saved: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "cut")
    weights = load_file(folder / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(RewardModelError, match=r"do not fit config\.json.*: score\.weight; a"):
        reward_model.load(folder)
    (folder / "model.safetensors").write_bytes(b"none")
    with pytest.raises(RewardModelError, match="no readable weights"):
        reward_model.load(folder)


def test_a_reward_model_of_another_tokenizer(tmp_path: Path, saved: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "other")
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text + " ")
    with pytest.raises(TokenizerMismatchError, match="its ids would mean other tokens"):
        reward_model.load(folder)
