"""Answers of tiny models against a plain computation, a choice at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from llm.evaluation.benchmarks import task_measures
from llm.evaluation.tasks.answer_table import answer_table
from llm.evaluation.tasks.answers import answer
from llm.evaluation.tasks.continuations import pair
from llm.evaluation.tasks.items import Item
from llm.evaluation.tasks.subject import OwnModel, Prompt, cut
from llm.model.transformer import Transformer
from llm.tokens.chat import ChatEncoder
from tests.llm.evaluation.tasks.task_files import task
from tests.llm.evaluation.tiny_models import FACTS, model_folder, tiny_model

CONTEXT = 48


def quiet(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("models") / "base", tiny_model(CONTEXT))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> ChatEncoder:
    return ChatEncoder(folder)


@pytest.fixture(scope="module")
def subject(folder: Path, encoder: ChatEncoder) -> OwnModel:
    return OwnModel(tiny_model(CONTEXT), encoder)


def plainly(subject: OwnModel, prompt: str, continuation: str) -> float:
    """log p(continuation | prompt), a token at a time; the prompt's beginning is cut off."""
    before = subject.encode(prompt.rstrip()) if prompt else [subject.prefix]
    whole = (
        subject.encode(prompt + continuation) if prompt else before + subject.encode(continuation)
    )
    model = subject.scorer
    assert isinstance(model, Transformer)
    total = 0.0
    for place in range(len(before), len(whole)):
        seen = whole[max(0, len(whole) - 1 - CONTEXT) : place]
        with torch.no_grad():
            total += float(
                model(torch.tensor([seen]))[0, -1].double().log_softmax(-1)[whole[place]]
            )
    return total


def quiz(prompt: str = "{}") -> list[Item]:
    """Which first sentence belongs to a name: four choices each."""
    found = []
    for number, (question, right) in enumerate(FACTS):
        others = [FACTS[(number + step) % len(FACTS)][1] for step in (1, 2, 3)]
        choices = [*others[: number % 4], right, *others[number % 4 :]]
        found.append(Item(f"quiz:{number}", prompt.format(question), tuple(choices), number % 4))
    return found


def test_choices_are_scored_as_one_alone_would_be(subject: OwnModel) -> None:
    items = quiz()
    found = answer(subject, task(), items, 512, quiet)
    assert found.left_out == {}
    for item, got in zip(items, found.answers, strict=True):
        wanted = [plainly(subject, item.prompt, f" {choice}") for choice in item.choices]
        np.testing.assert_allclose(got.logprobs, wanted, rtol=1e-4)
        lengths = [len(choice) for choice in item.choices]
        assert got.choices == tuple(f" {choice}" for choice in item.choices)
        assert got.given == f" {item.choices[int(np.argmax(wanted))]}"
        assert got.verdicts == {
            "acc": float(np.argmax(wanted) == item.expected),
            "acc_norm": float(np.argmax(np.array(wanted) / lengths) == item.expected),
        }
    assert len({tuple(each.verdicts.values()) for each in found.answers}) > 1


@pytest.mark.parametrize("batch_tokens", [1, 97, 100_000])
def test_a_score_does_not_depend_on_the_batch(subject: OwnModel, batch_tokens: int) -> None:
    items = quiz()
    alone = [answer(subject, task(), [item], 1, quiet).answers[0] for item in items[::-1]][::-1]
    together = answer(subject, task(), items, batch_tokens, quiet).answers
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, rtol=1e-5)
        assert (one.item, one.given, one.verdicts) == (other.item, other.given, other.verdicts)


def test_a_prompt_that_is_too_long_loses_its_beginning(subject: OwnModel) -> None:
    items = quiz("Read this with care. " * 8 + "{}")
    found = answer(subject, task(), items, 512, quiet)
    for item, got in zip(items, found.answers, strict=True):
        assert got.tokens_cut > 0
        first = plainly(subject, item.prompt, f" {item.choices[0]}")
        assert got.logprobs[0] == pytest.approx(first, rel=1e-4)
    long = Item("long", "x", ("word " * 100, "y"), 0)
    assert answer(subject, task(), [long, items[0]], 512, quiet).left_out == {"long": "too_long"}


def test_white_space_at_the_end_of_a_prompt_belongs_to_the_answer(subject: OwnModel) -> None:
    found, other = pair(subject, "Return the ", "value"), pair(subject, "Return the", " value")
    assert found == other
    assert found is not None
    assert found.prompt == subject.encode("Return the")


def test_pairs_stand_behind_the_prefix_and_a_tie_is_no_success(
    subject: OwnModel, folder: Path, encoder: ChatEncoder
) -> None:
    sentences = [right for _, right in FACTS]
    items = [
        Item(str(n), "", (text, " ".join(text.split()[::-1])), 0)
        for n, text in enumerate(sentences)
    ]
    pairs = task(kind="minimal_pairs")
    found = answer(subject, pairs, items, 512, quiet)
    for item, got in zip(items, found.answers, strict=True):
        good, bad = (plainly(subject, "", f" {choice}") for choice in item.choices)
        assert got.verdicts == {"acc": float(good > bad)}
    same = Item("same", "", ("one text", "one text"), 0)
    assert answer(subject, pairs, [same], 512, quiet).left_out == {"same": "same_text"}
    flat = OwnModel(tiny_model(CONTEXT), encoder)
    with torch.no_grad():
        flat.scorer.model.norm.weight.zero_()  # every token is as likely as any other
    tied = Item("tied", "", ("a b", "b a"), 0)
    assert answer(flat, pairs, [tied], 512, quiet).answers[0].verdicts == {"acc": 0.0}


def test_cloze_is_right_where_greedy_decoding_says_it(
    subject: OwnModel, encoder: ChatEncoder
) -> None:
    (text,) = subject.continue_([Prompt(encoder.text("def wrap("), 3, ())])
    told = len(encoder.text("def wrap(" + text)) == len(encoder.text("def wrap(")) + 3
    assert told  # else the tokens of the joined text are others
    right, wrong = Item("0", "def wrap(", (text,), 0), Item("1", "def wrap(", (text + "q",), 0)
    cloze = task(kind="cloze", delimiter="")
    found = answer(subject, cloze, [right, wrong], 512, quiet).answers
    assert [each.verdicts["acc"] for each in found] == [1.0, 0.0]
    assert [each.given for each in found] == [text, ""]
    for each in found:
        wanted = plainly(subject, each.prompt, each.expected)
        assert each.verdicts["logprob"] == pytest.approx(wanted, rel=1e-4)


def test_exact_match_reads_what_is_said(subject: OwnModel, encoder: ChatEncoder) -> None:
    prompts = ["def wrap(", "What is fill?", "x"]
    alone = [subject.continue_([Prompt(encoder.text(p), 6, ())])[0] for p in prompts]
    items = [Item(p, p, (said,), 0) for p, said in zip(prompts, alone, strict=True)]
    exact = task(kind="exact_match", max_new_tokens=6)
    found = answer(subject, exact, items, 512, quiet).answers
    assert [each.given for each in found] == alone
    assert [each.verdicts for each in found] == [{"exact_match": 1.0}] * 3
    other = [Item(p, p, ("something else",), 0) for p in prompts]
    assert answer(subject, exact, other, 512, quiet).answers[0].verdicts == {"exact_match": 0.0}
    # A text that ends answers does so wherever it falls among the tokens.
    end = alone[0][2:4]
    stopped = answer(subject, task(kind="exact_match", stop=(end,)), items[:1], 512, quiet)
    assert stopped.answers[0].given == alone[0][: alone[0].index(end)]
    none = answer(subject, task(kind="exact_match", max_new_tokens=CONTEXT), items, 512, quiet)
    assert (none.answers, none.left_out) == ([], dict.fromkeys(prompts, "too_long"))


def test_cut() -> None:
    assert cut("one\n\ntwo Question: three", ("Question:", "\n\n")) == "one"
    assert cut("one", ("two",)) == "one"


def test_rows_and_measures(subject: OwnModel) -> None:
    found = answer(subject, task(), quiz(), 512, quiet).answers
    (row, *_) = answer_table("base", "quiz", found).to_pylist()
    assert row["logprobs"] == list(found[0].logprobs)
    assert {each["measure"]: each["value"] for each in row["verdicts"]} == found[0].verdicts
    acc, acc_norm = task_measures("quiz", found)
    assert (acc.metric, acc_norm.metric) == ("quiz/acc", "quiz/acc_norm")
    assert acc.ids == tuple(each.item for each in found)
    assert acc.value == pytest.approx(np.mean([each.verdicts["acc"] for each in found]))
