"""A model folder as a GGUF file: what is in it, and that it is there whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, TokenType, quants
from safetensors.numpy import load_file

from llm.export import gguf
from llm.export.gguf import file_name, read_weights, write_gguf
from llm.export.gguf_vocabulary import UnknownTokenizerError
from llm.export.modelfile import MODELFILE, write_modelfile
from llm.export.run_file import About, Fact
from llm.model.architecture import Architecture
from llm.model.config_file import architecture
from llm.model.initialisation import initialise
from llm.model.transformer import Transformer
from llm.tokens.special_tokens import END_OF_TEXT, SPECIAL_TOKENS, TURN_END
from tests.llm.evaluation.tiny_models import model_folder, tiny_model
from tests.llm.tokens.small_tokenizer import SIZE

ABOUT = About(
    "tiny",
    "A model of a test.",
    "apache-2.0",
    ("BSD-3-Clause", "MIT"),
    ("docs", "own pages"),
    (Fact("made_by", "sft"), Fact("model_data_id", "abc123")),
)


def field(reader: GGUFReader, name: str) -> Any:
    return reader.fields[name].contents()


def written(folder: Path, kind: Any, qk_norm: bool = True) -> tuple[Path, Path]:
    model = model_folder(folder / "model", tiny_model(48, qk_norm=qk_norm), TURN_END)
    file = folder / file_name("tiny", kind)
    write_gguf(model, file, kind, ABOUT)
    return model, file


@pytest.mark.parametrize("qk_norm", [True, False])
def test_float32_is_every_parameter_as_it_was(tmp_path: Path, qk_norm: bool) -> None:
    model, file = written(tmp_path, "f32", qk_norm)
    expected = load_file(model / "model.safetensors")
    found = read_weights(file, architecture(model))
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], value) for name, value in expected.items())


def test_rows_of_a_llama_are_neighbours_in_pairs(tmp_path: Path) -> None:
    """Row 2i of a head in the file is row i in the folder, row 2i + 1 is row i + half a head."""
    model, file = written(tmp_path, "f32", qk_norm=False)
    tensors = {tensor.name: tensor.data for tensor in GGUFReader(file).tensors}
    weights, size = load_file(model / "model.safetensors"), architecture(model).head_dim
    for ours, theirs in (("q_proj", "attn_q"), ("k_proj", "attn_k")):
        source = weights[f"model.layers.1.self_attn.{ours}.weight"]
        for row in range(len(source)):
            head, place = divmod(row, size)
            origin = head * size + place // 2 + (size // 2) * (place % 2)
            assert np.array_equal(tensors[f"blk.1.{theirs}.weight"][row], source[origin])
    value = weights["model.layers.1.self_attn.v_proj.weight"]
    assert np.array_equal(tensors["blk.1.attn_v.weight"], value)


@pytest.mark.parametrize("qk_norm", [True, False])
def test_a_tied_matrix_is_written_once(tmp_path: Path, qk_norm: bool) -> None:
    _, file = written(tmp_path, "f16", qk_norm)
    reader = GGUFReader(file)
    names = {tensor.name for tensor in reader.tensors}
    assert ("output.weight" in names) is not qk_norm
    assert field(reader, "general.architecture") == ("qwen3" if qk_norm else "llama")


def test_what_the_file_says(tmp_path: Path) -> None:
    model, file = written(tmp_path, "q8_0")
    reader, record = GGUFReader(file), json.loads((model / "tokenizer.json").read_text())
    tokens = field(reader, "tokenizer.ggml.tokens")
    assert tokens[:4] == list(SPECIAL_TOKENS)
    assert {token: i for i, token in enumerate(tokens)} == record["model"]["vocab"]
    types = field(reader, "tokenizer.ggml.token_type")
    assert types == [TokenType.CONTROL] * 4 + [TokenType.NORMAL] * (SIZE - 4)
    merges = [" ".join(pair) for pair in record["model"]["merges"]]
    assert field(reader, "tokenizer.ggml.merges") == merges
    assert field(reader, "tokenizer.ggml.pre") == "qwen2"
    ids = {name: field(reader, f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos", "eot")}
    assert ids == {"bos": 0, "eos": 2, "eot": 2}
    assert field(reader, "tokenizer.ggml.padding_token_id") == 3
    assert field(reader, "tokenizer.ggml.add_bos_token") is False
    assert field(reader, "tokenizer.chat_template") == (model / "chat_template.jinja").read_text()
    assert field(reader, "general.name") == "tiny"
    assert field(reader, "general.license") == "apache-2.0"
    assert field(reader, "ingot.data_licenses") == ["BSD-3-Clause", "MIT"]
    assert field(reader, "general.dataset.1.name") == "own pages"
    assert field(reader, "ingot.model_data_id") == "abc123"
    assert field(reader, "qwen3.context_length") == 48
    assert field(reader, "qwen3.rope.freq_base") == 10_000.0


@pytest.mark.parametrize(("kind", "ends"), [("bf16", "BF16"), ("q8_0", "Q8_0"), ("q4_0", "Q8_0")])
def test_matrices_have_the_type_and_vectors_float32(tmp_path: Path, kind: Any, ends: str) -> None:
    model, file = written(tmp_path, kind)
    stored = {tensor.name: tensor for tensor in GGUFReader(file).tensors}
    assert stored["token_embd.weight"].tensor_type.name == ends
    assert stored["blk.0.ffn_up.weight"].tensor_type.name == kind.upper()
    assert stored["blk.0.attn_norm.weight"].tensor_type.name == "F32"
    assert stored["output_norm.weight"].tensor_type.name == "F32"
    expected = load_file(model / "model.safetensors")["model.layers.0.mlp.up_proj.weight"]
    tensor = stored["blk.0.ffn_up.weight"]
    again = quants.dequantize(tensor.data, tensor.tensor_type).reshape(expected.shape)
    # A block's step is its largest value over 127, or over 8.
    step = {"bf16": 2.0**-8, "q8_0": 1 / 127, "q4_0": 1 / 8}[kind]
    assert 0 < np.abs(again - expected).max() <= step * np.abs(expected).max()


def test_rows_that_do_not_divide_into_blocks_stay_float16(tmp_path: Path) -> None:
    odd = Architecture(SIZE, 40, 64, 1, 2, 1, 16, 32, 10_000.0, 1e-6, True, True)
    model = Transformer(odd)
    initialise(model, 0)
    folder = model_folder(tmp_path / "model", model)
    write_gguf(folder, tmp_path / "odd.gguf", "q8_0", ABOUT)
    kinds = {
        tensor.name: tensor.tensor_type for tensor in GGUFReader(tmp_path / "odd.gguf").tensors
    }
    assert kinds["blk.0.attn_q.weight"] == GGMLQuantizationType.F16  # rows of 40
    assert kinds["blk.0.ffn_down.weight"] == GGMLQuantizationType.Q8_0  # rows of 64


def test_rows_no_token_has_are_unused(tmp_path: Path) -> None:
    wide = Architecture(SIZE + 2, 64, 64, 1, 2, 1, 16, 32, 10_000.0, 1e-6, True, True)
    folder = model_folder(tmp_path / "model", Transformer(wide))
    write_gguf(folder, tmp_path / "wide.gguf", "f32", ABOUT)
    reader = GGUFReader(tmp_path / "wide.gguf")
    tokens = field(reader, "tokenizer.ggml.tokens")
    assert tokens[SIZE:] == [f"[PAD{SIZE}]", f"[PAD{SIZE + 1}]"]
    assert field(reader, "tokenizer.ggml.token_type")[SIZE:] == [TokenType.UNUSED] * 2


@pytest.mark.parametrize("spoiled", ["split", "ignore_merges", "normalizer"])
def test_what_llama_cpp_would_tokenise_otherwise_is_refused(tmp_path: Path, spoiled: str) -> None:
    model, _ = written(tmp_path, "f32")
    path = model / "tokenizer.json"
    record = json.loads(path.read_text())
    if spoiled == "split":  # digits by twos
        split = record["pre_tokenizer"]["pretokenizers"][0]["pattern"]
        split["Regex"] = split["Regex"].replace(r"\p{N}|", r"\p{N}{1,2}|")
    elif spoiled == "normalizer":
        record["normalizer"] = {"type": "NFC"}
    else:
        record["model"][spoiled] = True
    path.write_text(json.dumps(record))
    named = r"tokenizer\.digits.*export\.gguf" if spoiled == "split" else spoiled
    with pytest.raises(UnknownTokenizerError, match=named):
        write_gguf(model, tmp_path / "other.gguf", "f32", ABOUT)
    assert not list(tmp_path.glob("*other*"))


def test_a_file_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, file = written(tmp_path, "f32")
    before, calls = file.read_bytes(), []

    def full(values: Any, kind: Any) -> Any:
        calls.append(kind)
        if len(calls) > 5:
            raise OSError("no space left on device")
        return quants.quantize(values, kind)

    monkeypatch.setattr(gguf.quants, "quantize", full)
    with pytest.raises(OSError, match="no space"):
        write_gguf(model, file, "f32", ABOUT)
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("*gguf*")) == [file.name]


def test_names_of_files() -> None:
    assert file_name("ingot-quickstart", "q8_0") == "ingot-quickstart-Q8_0.gguf"
    assert file_name("../my model/v1.2", "f16") == "my-model-v1.2-F16.gguf"
    assert file_name("...", "f16") == "model-F16.gguf"


def test_modelfile(tmp_path: Path) -> None:
    model, file = written(tmp_path, "f16")
    text = write_modelfile(model, file).read_text()
    assert text.startswith("FROM ./tiny-F16.gguf\nTEMPLATE")
    assert "<|im_start|>{{ .Role }}\n{{ .Content }}" in text
    assert f'PARAMETER stop "{TURN_END}"' in text
    assert "PARAMETER num_ctx 48\n" in text
    base = model_folder(tmp_path / "base" / "model", tiny_model(48), END_OF_TEXT)
    write_modelfile(base, file)
    assert 'TEMPLATE """{{ .Prompt }}"""' in (tmp_path / MODELFILE).read_text()
