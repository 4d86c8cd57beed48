"""Bits per byte against a plain reference, one window at a time."""

from __future__ import annotations

import lzma
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llm.evaluation.bits_per_byte import document_losses, windows
from llm.evaluation.compression import xz_bits_per_byte
from llm.evaluation.tasks.subject import OwnModel
from llm.evaluation.validation_bytes import NoValidationTextError, validation_text
from llm.model.transformer import Transformer
from llm.tokens.chat import ChatEncoder
from tests.llm.evaluation.tiny_models import tiny_model
from tests.llm.tokens.small_tokenizer import library_texts, small_folder

TEXTS = [
    "def f(x):\n    return x\n",
    "é中😀",
    library_texts()[4][:900],
    "a",
    library_texts()[1][:300],
]


def quiet(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("tokenizer"))


def asked(model: Transformer, folder: Path) -> OwnModel:
    return OwnModel(model, ChatEncoder(folder))


def reference_bits(model: torch.nn.Module, ids: list[int], context: int) -> float:
    """Token by token: each with the context its window gives it, in a batch of its own."""
    nats = 0.0
    for place in range(1, len(ids)):
        if place <= context:
            start = 0
        else:
            # Windows begin at multiples of half a context; the first that reaches this token.
            stride = context // 2
            start = math.ceil((place - context) / stride) * stride
        with torch.inference_mode():
            logits = model(torch.tensor([ids[start:place]]))[0, -1].double()
        nats -= logits.log_softmax(-1)[ids[place]].item()
    return nats / math.log(2)


def test_equals_the_reference_and_does_not_depend_on_the_batch(folder: Path) -> None:
    model = tiny_model(context=16)
    subject = asked(model, folder)
    sequences = [[subject.end, *subject.encode(text), subject.end] for text in TEXTS]
    wanted = [reference_bits(model, sequence, 16) for sequence in sequences]
    assert max(map(len, sequences)) > 5 * 16
    found = [document_losses(subject, TEXTS, size, quiet) for size in (1, 100, 100_000)]
    for losses in found:
        np.testing.assert_allclose(losses.bits, wanted, rtol=1e-5)
        assert losses.tokens.tolist() == [len(sequence) - 1 for sequence in sequences]
        assert losses.sizes.tolist() == [len(text.encode()) for text in TEXTS]
        assert losses.bits_per_byte == pytest.approx(sum(wanted) / losses.sizes.sum(), rel=1e-5)


def test_a_model_that_knows_nothing_needs_log2_vocabulary_a_token(folder: Path) -> None:
    model = tiny_model(context=16)
    with torch.no_grad():
        model.model.norm.weight.zero_()
    losses = document_losses(asked(model, folder), TEXTS, 64, quiet)
    np.testing.assert_allclose(losses.bits, 10 * losses.tokens, rtol=1e-6)  # 2**10 tokens


@given(st.integers(1, 300), st.integers(1, 40), st.data())
def test_windows_score_every_token_once(
    predictions: int, context: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, context))
    found = windows(predictions, context, stride)
    scored = [token for window in found for token in range(window.scored, window.end)]
    assert scored == list(range(predictions))
    assert all(window.end - window.start <= context for window in found)
    for window in found[1:]:
        assert window.scored - window.start == context - stride
    with pytest.raises(ValueError, match="stride"):
        windows(predictions, context, context + 1)


def documents(*rows: tuple[str, str, str | None]) -> pa.Table:
    columns = zip(("doc_id", "split", "text"), zip(*rows, strict=True), strict=True)
    return pa.table({**dict(columns), "source": [f"of {row[0]}" for row in rows]})


def test_validation_text_is_cut_at_a_character() -> None:
    tables = [
        documents(("c", "validation", "über"), ("a", "validation", "ab"), ("b", "train", "xxxx")),
        documents(("d", "validation", "no"), ("b2", "validation", None), ("b3", "validation", "")),
    ]
    whole = validation_text(tables, 1_000)
    assert (whole.items, whole.texts) == (("a", "c", "d"), ("ab", "über", "no"))
    assert whole.doc_ids == whole.items
    assert whole.sources == ("of a", "of c", "of d")
    assert whole.available == len(whole.content) == 9
    cut = validation_text(tables, 3)  # within the two bytes of ü: the document is not begun
    assert (cut.items, cut.texts, cut.available) == (("a",), ("ab",), 9)
    within = validation_text(tables, 4)  # another text than the whole document, so another item
    assert (within.items, within.texts) == (("a", "c:2"), ("ab", "ü"))
    assert validation_text(tables[::-1], 5).content == "abüb".encode()
    with pytest.raises(NoValidationTextError, match="validation_fraction"):
        validation_text([documents(("b", "train", "xxxx"))], 10)
    with pytest.raises(NoValidationTextError):
        validation_text([], 10)


def test_xz(tmp_path: Path) -> None:
    content = "".join(library_texts()).encode()
    bits = xz_bits_per_byte(content)
    assert 1.0 < bits < 2.5
    assert xz_bits_per_byte(b"a" * 100_000) < 0.02
    if shutil.which("xz"):
        path = tmp_path / "text"
        path.write_bytes(content)
        packed = subprocess.run(
            ["xz", "-9e", "-T1", "--stdout", str(path)], check=True, capture_output=True
        ).stdout
        assert lzma.decompress(packed) == content
        assert bits == pytest.approx(8 * len(packed) / len(content), rel=1e-3)
