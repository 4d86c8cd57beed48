"""A model folder as a GGUF file, the one format of llama.cpp, Ollama and what is built on them.

It is written with llama.cpp's own package, straight from the folder; converters of llama.cpp refuse
tokenizers they have not been told of. Matrices have the type asked for, vectors float32. A tied
matrix is written once: llama.cpp takes the embedding where there is no output matrix.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import (
    GGML_QUANT_SIZES,
    GGML_QUANT_VERSION,
    MODEL_ARCH,
    GGMLQuantizationType,
    GGUFReader,
    GGUFWriter,
    LlamaFileType,
    get_tensor_name_map,
    quants,
)
from numpy.typing import NDArray
from safetensors import safe_open

from llm.export.gguf_vocabulary import Vocabulary, read_vocabulary
from llm.export.run_file import About, GgufType
from llm.model.architecture import Architecture
from llm.model.config_file import architecture
from llm.model.weight_files import WEIGHTS

_FILE_TYPES = {
    "f32": LlamaFileType.ALL_F32,
    "f16": LlamaFileType.MOSTLY_F16,
    "bf16": LlamaFileType.MOSTLY_BF16,
    "q8_0": LlamaFileType.MOSTLY_Q8_0,
    "q4_0": LlamaFileType.MOSTLY_Q4_0,
}
# Read at every token or once a token, and the greater part of a small model's loss to 4 bits; what
# llama.cpp quantises keeps them finer as well.
_ENDS = ("token_embd.weight", "output.weight")
_FLOATS = frozenset({"f32", "f16", "bf16"})


@dataclass(frozen=True)
class _Tensor:
    """One to be written: its name in the folder and in the file, and how it is stored."""

    source: str
    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """In bytes along the last axis, where values are packed."""
        if self.kind in (GGMLQuantizationType.F32, GGMLQuantizationType.F16):
            return self.shape
        shape: tuple[int, ...] = quants.quant_shape_to_byte_shape(self.shape, self.kind)
        return shape

    @property
    def dtype(self) -> Any:
        return {GGMLQuantizationType.F32: np.float32, GGMLQuantizationType.F16: np.float16}.get(
            self.kind, np.uint8
        )

    @property
    def bytes(self) -> int:
        return math.prod(self.stored_shape) * int(np.dtype(self.dtype).itemsize)


def is_float(kind: str) -> bool:
    """Whether a type keeps numbers as floats; the others are quantised."""
    return kind in _FLOATS


def file_name(name: str, kind: str) -> str:
    """What a file is called: the model's name without what file systems or shells take apart."""
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip("-.") or "model"
    return f"{plain}-{kind.upper()}.gguf"


def write_gguf(folder: Path, path: Path, kind: GgufType, about: About) -> None:
    """Write the model in a folder to a file, which is there whole or not at all.

    The rows of a matrix that do not divide into blocks of 32 cannot be quantised: it is kept as
    f16. With `q4_0` the embedding and the output matrix are `q8_0`. One tensor is in memory at a
    time.

    Raises:
        UnknownTokenizerError: llama.cpp would read its tokenizer as another one.
        ModelFolderError: the folder is no model of Ingot.
    """
    shape = architecture(folder)
    vocabulary = read_vocabulary(folder, shape.vocabulary_size)
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with (
            safe_open(folder / WEIGHTS, "pt") as weights,
            contextlib.closing(GGUFWriter(unfinished, "qwen3" if shape.qk_norm else "llama")) as to,
        ):
            tensors = list(_tensors(weights, shape, kind))
            _write_model(to, shape, kind, about)
            _write_vocabulary(to, vocabulary, template)
            for tensor in tensors:
                to.add_tensor_info(
                    tensor.name, tensor.stored_shape, tensor.dtype, tensor.bytes, tensor.kind
                )
            to.write_header_to_file()
            to.write_kv_data_to_file()
            to.write_ti_data_to_file()
            for tensor in tensors:
                values = weights.get_tensor(tensor.source).float().numpy()
                to.write_tensor_data(quants.quantize(_laid_out(values, tensor, shape), tensor.kind))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_weights(path: Path, shape: Architecture) -> dict[str, NDArray[np.float32]]:
    """The parameters in a file by their names in a model folder, as float32: what is left of them
    after rounding; a tied matrix once."""
    names = {name: source for source, name in _names(shape).items()}
    found = {}
    for tensor in GGUFReader(path).tensors:
        values = quants.dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1])
        source = names[tensor.name]
        if heads := _interleaved_heads(source, shape):
            values = _swap(values, heads, shape.head_dim // 2, 2)
        found[source] = np.array(values, dtype=np.float32)
    return found


def _names(shape: Architecture) -> dict[str, str]:
    """Names in the file by names in the folder."""
    arch = MODEL_ARCH.QWEN3 if shape.qk_norm else MODEL_ARCH.LLAMA
    known = get_tensor_name_map(arch, shape.layers)
    parts = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
    parts += ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    parts += ["input_layernorm", "post_attention_layernorm"]
    if shape.qk_norm:
        parts += ["self_attn.q_norm", "self_attn.k_norm"]
    sources = ["model.embed_tokens", "model.norm"] + ([] if shape.tied else ["lm_head"])
    sources += [f"model.layers.{layer}.{part}" for layer in range(shape.layers) for part in parts]
    return {f"{source}.weight": f"{known.get_name(source)}.weight" for source in sources}


def _tensors(weights: Any, shape: Architecture, kind: GgufType) -> Iterator[_Tensor]:
    wanted = GGMLQuantizationType[kind.upper()]
    for source, name in _names(shape).items():
        size = tuple(weights.get_slice(source).get_shape())
        finer = kind == "q4_0" and name in _ENDS
        stored = GGMLQuantizationType.Q8_0 if finer else wanted
        if len(size) == 1:
            stored = GGMLQuantizationType.F32
        elif size[-1] % GGML_QUANT_SIZES[stored][0]:
            stored = GGMLQuantizationType.F16
        yield _Tensor(source, name, size, stored)


def _laid_out(
    values: NDArray[np.float32], tensor: _Tensor, shape: Architecture
) -> NDArray[np.float32]:
    """The rows in the order in which llama.cpp rotates them: for a Llama it takes neighbours for
    the pairs of a rotation, where a folder of transformers has the two halves of a head."""
    heads = _interleaved_heads(tensor.source, shape)
    return _swap(values, heads, 2, shape.head_dim // 2) if heads else values


def _interleaved_heads(source: str, shape: Architecture) -> int:
    """How many heads of rotated rows a matrix of a Llama has; 0 for all others."""
    if shape.qk_norm:
        return 0
    if source.endswith("q_proj.weight"):
        return shape.heads
    return shape.key_value_heads if source.endswith("k_proj.weight") else 0


def _swap(values: NDArray[Any], heads: int, outer: int, inner: int) -> NDArray[Any]:
    grouped = values.reshape(heads, outer, inner, values.shape[-1])
    return np.ascontiguousarray(grouped.swapaxes(1, 2)).reshape(values.shape)


def _write_model(to: GGUFWriter, shape: Architecture, kind: GgufType, about: About) -> None:
    """The fields on the model."""
    to.add_type("model")
    to.add_name(about.name)
    to.add_description(about.description)
    if about.license:
        to.add_license(about.license)
    to.add_array("ingot.data_licenses", about.data_licenses)
    to.add_dataset_count(len(about.sources))
    for number, source in enumerate(about.sources):
        to.add_dataset_name(number, source)
    for fact in about.lineage:
        to.add_string(f"ingot.{fact.name}", fact.value)
    to.add_file_type(_FILE_TYPES[kind])
    to.add_quantization_version(GGML_QUANT_VERSION)
    to.add_vocab_size(shape.vocabulary_size)
    to.add_context_length(shape.context)
    to.add_embedding_length(shape.hidden_size)
    to.add_block_count(shape.layers)
    to.add_feed_forward_length(shape.intermediate_size)
    to.add_head_count(shape.heads)
    to.add_head_count_kv(shape.key_value_heads)
    to.add_key_length(shape.head_dim)
    to.add_value_length(shape.head_dim)
    to.add_rope_dimension_count(shape.head_dim)
    to.add_rope_freq_base(shape.rope_theta)
    to.add_layer_norm_rms_eps(shape.norm_eps)


def _write_vocabulary(to: GGUFWriter, vocabulary: Vocabulary, template: str) -> None:
    """The fields on the tokenizer."""
    to.add_tokenizer_model("gpt2")  # llama.cpp's name of byte-level BPE
    to.add_tokenizer_pre(vocabulary.pre_tokenizer)
    to.add_token_list(vocabulary.tokens)
    to.add_token_types(vocabulary.types)
    to.add_token_merges(vocabulary.merges)
    to.add_bos_token_id(vocabulary.bos)
    to.add_eos_token_id(vocabulary.eos)
    to.add_eot_token_id(vocabulary.eot)
    to.add_pad_token_id(vocabulary.pad)
    to.add_add_bos_token(vocabulary.add_bos)
    to.add_add_eos_token(False)
    to.add_chat_template(template)
