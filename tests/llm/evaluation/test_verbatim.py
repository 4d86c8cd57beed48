"""How much of what a model says stands in training: a model that was taught one answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from llm.corpus.attribution.block_file import write_blocks
from llm.corpus.attribution.tables import INSTRUCTIONS, TRAINED
from llm.evaluation.conversations import Exchange, ValidationRows, exchange
from llm.evaluation.run_file import Verbatim
from llm.evaluation.validation_bytes import NO_TEXT, ValidationText
from llm.evaluation.verbatim import HeldOutPrompt, VerbatimCheck, held_out_prompts
from llm.model.scoring import Report
from llm.model.transformer import Transformer
from llm.tokens.chat import ChatEncoder
from llm.tokens.special_tokens import TURN_END
from tests.llm.evaluation.tiny_models import model_folder, said, tiny_model

ANSWER = "Return a copy of the text in which every line is indented."


def quiet(what: str) -> Report:
    """Progress that nobody asked for."""
    return lambda done, total: None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("verbatim") / "model", tiny_model(96), TURN_END)


@pytest.fixture(scope="module")
def encoder(folder: Path) -> ChatEncoder:
    return ChatEncoder(folder)


@pytest.fixture(scope="module")
def row(encoder: ChatEncoder) -> Exchange:
    return exchange(encoder, "x", [said("user", "What is it?"), said("assistant", ANSWER)])


@pytest.fixture(scope="module")
def taught(row: Exchange) -> Transformer:
    model = tiny_model(96)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    tokens = torch.tensor([[*row.prompt, *row.answer]])
    for _ in range(60):
        logits = model(tokens[:, :-1])[0]
        torch.nn.functional.cross_entropy(logits, tokens[0, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def shares(
    tmp_path: Path,
    taught: tuple[Transformer, ChatEncoder, Path, Exchange],
    tokens: int,
    **texts: str,
) -> dict[str, float]:
    model, encoder, folder, row = taught
    for kind, text in texts.items():
        list(write_blocks([text.encode()], tmp_path / kind / "part"))
    check = VerbatimCheck(Verbatim((tmp_path,), 5, tokens))
    prompts = [HeldOutPrompt("x", row.prompt)]
    measures = check.ask(model, encoder, folder, prompts, 60, quiet)
    assert all(measure.ids == ("x",) for measure in measures)
    return {measure.metric: measure.value for measure in measures}


def test_what_was_said_is_found_in_the_set_it_stands_in(
    tmp_path: Path, taught: Transformer, encoder: ChatEncoder, folder: Path, row: Exchange
) -> None:
    made = (taught, encoder, folder, row)
    half = ANSWER[: len(ANSWER) // 2]
    texts = {TRAINED: f"Here: {half}", INSTRUCTIONS: f"{ANSWER} Indeed."}
    found = shares(tmp_path / "both", made, 4, **texts)
    assert found["verbatim_answers"] == 1.0
    assert 0.3 < found["verbatim_text"] < 0.6
    # A stretch that is too short counts for nothing, however many there are.
    many = shares(tmp_path / "long", made, len(row.answer) + 1, **texts)
    assert many == {"verbatim_text": 0.0, "verbatim_answers": 0.0}
    assert shares(tmp_path / "one", made, 4, **{TRAINED: "Else"}) == {"verbatim_text": 0.0}


def test_without_an_index_nothing_is_measured(
    taught: Transformer, encoder: ChatEncoder, folder: Path, row: Exchange
) -> None:
    check = VerbatimCheck(Verbatim((), 0, 4))
    assert check.ask(taught, encoder, folder, [HeldOutPrompt("x", row.prompt)], 5, quiet) == []


def test_prompts_are_of_examples_else_of_documents(encoder: ChatEncoder, row: Exchange) -> None:
    rows = ValidationRows([row], [], {})
    assert held_out_prompts(rows, NO_TEXT, encoder, 96) == [HeldOutPrompt("x", row.prompt)]
    text = ValidationText(("d",), ("d",), ("def f(x): " * 40,), (None,), 400)
    [prompt] = held_out_prompts(ValidationRows([], [], {}), text, encoder, 96)
    assert (prompt.item, len(prompt.ids), prompt.ids[0]) == ("d", 48, encoder.text_end)
