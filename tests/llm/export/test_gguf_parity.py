"""llama.cpp on a GGUF file against our own code: equal when it is, found out when it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llm.export import gguf, gguf_vocabulary
from llm.export.gguf import file_name, write_gguf
from llm.export.gguf_parity import Ours, compare_gguf, compute_ours
from llm.export.gguf_parity_table import (
    GgufParityError,
    Measure,
    gguf_parity_table,
    require_gguf,
)
from llm.export.isolated import UnusableExportError
from llm.model.folder import save
from llm.tokens.bpe import BpeSettings, train
from llm.tokens.hf_folder import write_folder
from llm.tokens.special_tokens import TURN_END
from tests.llm.evaluation.tiny_models import model_folder, tiny_model
from tests.llm.export.test_gguf import ABOUT
from tests.llm.tokens.small_tokenizer import library_texts

PROMPTS = ("def f(x):\n    ", "What is this?", "word " * 90)


def our_side(folder: Path, qk_norm: bool = True) -> Ours:
    model = model_folder(folder / "model", tiny_model(64, qk_norm=qk_norm), TURN_END)
    return compute_ours(model, PROMPTS, 24, [])


def measured(ours: Ours, folder: Path, kind: Any) -> list[Measure]:
    file = folder / file_name("tiny", kind)
    write_gguf(ours.folder, file, kind, ABOUT)
    return compare_gguf(file, kind, ours, 1e-4, 1, folder / "scratch")


def values(measures: list[Measure]) -> dict[str, float]:
    return {measure.check: measure.value for measure in measures}


@pytest.mark.parametrize("qk_norm", [True, False])
def test_llama_cpp_gives_the_same(tmp_path: Path, qk_norm: bool) -> None:
    ours = our_side(tmp_path, qk_norm)
    assert ours.names == PROMPTS[:2]  # the third fills the context
    exact = measured(ours, tmp_path, "f32")
    require_gguf(exact)
    kinds = [measure.check for measure in exact]
    assert kinds.count("tokenizer") > 20
    assert kinds.count("chat_template") == 2
    assert kinds.count("greedy") == 2
    found = values(exact)
    assert found["logprob"] < 1e-5
    assert found["ties"] == 0
    assert found["top1_agreement"] == 1.0
    assert found["bits_per_byte"] == pytest.approx(found["bits_per_byte_ours"], rel=1e-5)
    assert {row["passed"] for row in gguf_parity_table(exact).to_pylist()} == {True, None}


def test_digits_by_three_too(tmp_path: Path) -> None:
    """Llama 3's split, which llama.cpp knows under another name."""
    tokenizer = train(
        [*library_texts(), "1999 and 100,000 of 199\n" * 99], BpeSettings(1024, 2, 16, "triple")
    )
    assert tokenizer.encode("1999").tokens == ["199", "9"]
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    write_folder(tokenizer, folder, TURN_END)
    save(tiny_model(64), tmp_path / "model", folder, TURN_END)
    found = measured(
        compute_ours(tmp_path / "model", ("in 1234567, 89", "x"), 24, []), tmp_path, "f32"
    )
    require_gguf(found)
    assert [measure.check for measure in found].count("tokenizer") > 20


def test_rounded_and_quantised_files_are_measured(tmp_path: Path) -> None:
    ours = our_side(tmp_path)
    apart = {}
    for kind in ("f16", "bf16", "q8_0", "q4_0"):
        measures = measured(ours, tmp_path, kind)
        require_gguf(measures)
        found = values(measures)
        assert 0.2 < found["top1_agreement"] <= 1.0
        assert found["bits_per_byte"] == pytest.approx(found["bits_per_byte_ours"], rel=0.2)
        limits = {measure.limit for measure in measures if measure.check == "greedy"}
        assert limits == ({None} if kind.startswith("q") else {0.0})
        apart[kind] = found["logprob"]
    assert 0 < apart["f16"] < apart["bf16"] < apart["q4_0"]
    assert apart["f16"] < apart["q8_0"] < apart["q4_0"]


def test_rows_given_are_what_is_scored(tmp_path: Path) -> None:
    model = model_folder(tmp_path / "model", tiny_model(64), TURN_END)
    ours = compute_ours(model, PROMPTS, 4, [[*range(10, 100)], [5], [0, 7, 0]])
    # The first is cut at the context, one token alone predicts none.
    assert [len(row) for row in ours.rows] == [64, 3]
    assert len(ours.logprobs) == 63 + 2
    texts = {m.text for m in measured(ours, tmp_path, "f32") if m.check == "logprob"}
    assert texts == {"65 tokens"}


def test_rows_in_the_wrong_order_are_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = our_side(tmp_path, qk_norm=False)
    monkeypatch.setattr(gguf, "_interleaved_heads", lambda source, shape: 0)
    with pytest.raises(GgufParityError, match=r"f32 logprob on .*limit 0\.0001.*export\.gguf"):
        require_gguf(measured(ours, tmp_path, "f32"))


def test_another_split_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = our_side(tmp_path)
    split = next(iter(gguf_vocabulary._PRE_TOKENIZERS))
    monkeypatch.setitem(gguf_vocabulary._PRE_TOKENIZERS, split, "gpt-2")
    failed = {m.check for m in measured(ours, tmp_path, "f32") if m.passed is False}
    assert failed == {"tokenizer", "chat_template"}  # of which the ids differ


def test_another_template_is_found_out(tmp_path: Path) -> None:
    ours = our_side(tmp_path)
    template = ours.folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_end|>", "<|im_end|> "))
    failed = {m.check for m in measured(ours, tmp_path, "f32") if m.passed is False}
    assert failed == {"chat_template"}


def test_a_figure_that_is_no_number_fails() -> None:
    with pytest.raises(GgufParityError, match=r"1 of 2 .*logprob on 'a': nan"):
        require_gguf(
            [Measure("f32", "logprob", "a", float("nan"), 1.0), Measure("f32", "x", "a", 9, None)]
        )


def test_a_file_llama_cpp_cannot_load_is_named(tmp_path: Path) -> None:
    ours = our_side(tmp_path)
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF" + bytes(200))
    with pytest.raises(UnusableExportError, match=r"llama\.cpp cannot use .*broken\.gguf"):
        compare_gguf(file, "f32", ours, 1e-4, 1, tmp_path / "scratch")
