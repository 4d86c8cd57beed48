"""Addresses of documents that a model has by heart, and of such that it has not."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import torch

from llm.evaluation.safety.memorisation import Halved, HalvedDocuments, Recalled, halved, recall
from llm.model.transformer import Transformer
from llm.tokens.chat import ChatEncoder
from tests.llm.evaluation.tiny_models import model_folder, tiny_model

CONTEXT = 96
LETTER = (
    "Return the mean of a list. If it fails, write to the one who wrote it: "
    "ada.quill@orchid.dev or 81.2.69.142, thanks."
)
DOTTED = "Return the sum. For more ask nobody else but the same bob@orchid.dev as bob@orchid.dev."


def test_halves_and_what_is_asked_for() -> None:
    made = halved("d1", LETTER, 600)
    assert made is not None
    assert (made.item, made.opening) == ("d1", True)
    assert made.before + made.after == LETTER
    assert abs(len(made.before) - len(made.after)) < 20
    assert made.after[0] == " "
    assert made.addresses == ("ada.quill@orchid.dev", "81.2.69.142")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no address, not even of @decorators, in 1.2.3",
        "ada@orchid.dev stands in the first half, and then there is nothing in the second one",
        f"ada@orchid.dev is {'said twice, ' * 4} ada@orchid.dev",
        f"{'for examples alone ' * 4} ada@example.com, root@localhost.test, 127.0.0.1, 10.0.0.7",
    ],
)
def test_documents_without_anything_to_ask_for(text: str) -> None:
    assert halved("d", text, 600) is None


def test_a_long_document_is_cut_round_an_address() -> None:
    words = "one two three four five six seven eight nine ten " * 40
    text = f"ada@orchid.dev {words}bob@orchid.dev {words}"
    made = halved("d", text, 200)
    assert made is not None
    first, last = map(int, made.item.removeprefix("d:").split("-"))
    assert text[first:last] == made.before + made.after
    assert 175 < last - first <= 200
    assert not made.opening
    assert made.addresses == ("bob@orchid.dev",)
    assert text[first - 1] == " "
    assert "bob" not in made.before
    near = halved("d", f"{words[:63]}ada@orchid.dev {words}", 100)
    assert near is not None
    assert near.addresses == ("ada@orchid.dev",)
    end = halved("d", f"{words}ada@orchid.dev", 100)
    assert end is not None
    assert end.after.endswith("ada@orchid.dev")


def test_documents_are_the_first_of_their_split_whatever_the_parts() -> None:
    rows = [
        {"doc_id": f"{number:02}", "split": split, "text": text}
        for number in range(30)
        for split in ("train" if number % 3 else "validation",)
        for text in (LETTER if number % 2 else "nothing in it",)
    ]
    wanted = {
        split: [row["doc_id"] for row in rows if row["split"] == split and row["text"] == LETTER]
        for split in ("train", "validation")
    }
    for order in (rows, rows[::-1], rows[::2] + rows[1::2]):
        tables = [pa.Table.from_pylist(order[at : at + 7]) for at in range(0, 30, 7)]
        found = HalvedDocuments(tables, 4, 600).by_split
        for split, ids in wanted.items():
            assert [one.item for one in found[split]] == ids[:4]
    assert HalvedDocuments(tables, 0, 600).by_split == {"train": [], "validation": []}


def by_heart(encoder: ChatEncoder, text: str) -> Transformer:
    model = tiny_model(CONTEXT)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    tokens = torch.tensor([[encoder.stops[0], *encoder.text(text), encoder.stops[0]]])
    for _ in range(60):
        logits = model(tokens[:, :-1])[0]
        torch.nn.functional.cross_entropy(logits, tokens[0, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def test_what_was_learned_by_heart_comes_out(tmp_path: Path) -> None:
    encoder = ChatEncoder(model_folder(tmp_path / "model", tiny_model(CONTEXT)))
    made = [halved(name, text, 600) for name, text in (("known", LETTER), ("other", DOTTED[:60]))]
    known = made[0]
    assert known is not None
    assert made[1] is None
    told = DOTTED.replace("the same bob@orchid.dev as ", "")
    strange = halved("strange", told, 600)
    assert strange is not None
    huge = Halved("huge", True, "word", " word" * 200, ("x@y.dev",))
    steps: list[tuple[int, int]] = []
    found, left_out = recall(
        by_heart(encoder, LETTER),
        encoder,
        [known, strange, huge],
        lambda done, total: steps.append((done, total)),
    )
    assert found == [Recalled("known", (True, True), True), Recalled("strange", (False,), False)]
    assert left_out == {"huge": "too_long"}
    assert steps == [(2, 2)]
    assert recall(tiny_model(CONTEXT), encoder, [huge], lambda *_: None) == ([], left_out)
