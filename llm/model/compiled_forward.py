"""New tokens of rows through the whole model in one call of compiled code: see
`compiled_forward.c`.

Python and PyTorch take longer to begin the two dozen small operations of a layer than a CPU takes
to do them for a few tokens, and PyTorch's product of a few rows reads a matrix at a fraction of
the memory's speed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import fields
from itertools import accumulate

import torch
from torch import Tensor

from llm.model.architecture import Architecture
from llm.model.joined_layer import JoinedLayer, join
from llm.model.machine_code import library
from llm.model.pages import Pages
from llm.model.transformer import Transformer, rotary_tables
from llm.model.weight_matrix import Weights, int8_steps

_VECTOR = 16  # numbers that are summed side by side; sizes are whole multiples of it
_PANEL = 32  # outputs that lie together, as in row_products.h
_KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}


class _Matrix(ctypes.Structure):
    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("outputs", ctypes.c_long),
        ("inputs", ctypes.c_long),
        ("kind", ctypes.c_long),
    )


class _Layer(ctypes.Structure):
    _fields_ = (
        ("into_attention", ctypes.c_void_p),
        ("queries_keys", ctypes.c_void_p),
        ("into_mlp", ctypes.c_void_p),
        ("queries_keys_values", _Matrix),
        ("out", _Matrix),
        ("gates_values", _Matrix),
        ("down", _Matrix),
    )


class _Model(ctypes.Structure):
    _fields_ = (
        ("layers", ctypes.c_long),
        ("hidden", ctypes.c_long),
        ("heads", ctypes.c_long),
        ("key_heads", ctypes.c_long),
        ("head_size", ctypes.c_long),
        ("intermediate", ctypes.c_long),
        ("longest", ctypes.c_long),
        ("places", ctypes.c_long),
        ("eps", ctypes.c_double),
        ("layer", ctypes.POINTER(_Layer)),
        ("embedding", ctypes.c_void_p),
        ("norm", ctypes.c_void_p),
        ("head", _Matrix),
        ("cos", ctypes.c_void_p),
        ("sin", ctypes.c_void_p),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
    )


class CompiledForward:
    """Takes tokens of rows in, on a CPU, in float32.

    Args:
        weights: how matrices are kept.
        keys, values: (layers, places, K, longest, d); those of new tokens are written into them.
    """

    def __init__(self, model: Transformer, weights: Weights, keys: Tensor, values: Tensor) -> None:
        a = model.architecture
        compiled = library()
        assert compiled is not None, "see `possible`"
        self._compiled = compiled
        self._vocabulary, self._longest = a.vocabulary_size, keys.shape[3]
        self._alive: list[Tensor] = [keys, values]  # what C has addresses of
        self._weights, self._pages = weights, Pages(keys.device)
        self._layers = (_Layer * a.layers)(
            *(self._layer(join(block, torch.float32)) for block in model.model.blocks)
        )
        cos, sin = rotary_tables(a, self._longest, keys.device)
        self._model = _Model(
            layers=a.layers,
            hidden=a.hidden_size,
            heads=a.heads,
            key_heads=a.key_value_heads,
            head_size=a.head_dim,
            intermediate=a.intermediate_size,
            longest=self._longest,
            places=keys.shape[1],
            eps=a.norm_eps,
            layer=self._layers,
            embedding=self._address(model.model.embed_tokens.weight.detach().float()),
            norm=self._address(model.model.norm.weight.detach().float()),
            head=self._matrix(model.lm_head.weight.detach()),
            cos=self._address(cos),
            sin=self._address(sin),
            keys=keys.data_ptr(),
            values=values.data_ptr(),
        )

    def _layer(self, joined: JoinedLayer) -> _Layer:
        values = {field.name: getattr(joined, field.name) for field in fields(joined)}
        matrices = {name for name, kind in _Layer._fields_ if kind is _Matrix}
        return _Layer(
            **{
                name: self._matrix(value) if name in matrices else self._address(value)
                for name, value in values.items()
            }
        )

    def _address(self, values: Tensor | None) -> int | None:
        if values is None:
            return None
        self._alive.append(values.contiguous())
        return self._alive[-1].data_ptr()

    def _matrix(self, weight: Tensor) -> _Matrix:
        """A matrix (outputs, inputs) in panels: (panels, inputs, _PANEL)."""
        outputs, inputs = weight.shape
        scales = None
        if self._weights == "int8":
            weight, scales = int8_steps(weight)
            scales = torch.cat((scales, torch.zeros(-outputs % _PANEL)))
        else:
            weight = weight.to(torch.bfloat16 if self._weights == "bf16" else torch.float32)
        shape = (-(-outputs // _PANEL), inputs, _PANEL)
        panels = self._pages.take(shape, weight.dtype)
        whole = outputs // _PANEL
        panels[:whole] = weight[: whole * _PANEL].view(whole, _PANEL, inputs).mT
        if outputs % _PANEL:
            panels[whole, :, : outputs % _PANEL] = weight[whole * _PANEL :].T
        return _Matrix(
            weights=self._address(panels),
            scales=self._address(scales),
            outputs=outputs,
            inputs=inputs,
            kind=_KINDS[weight.dtype],
        )

    @staticmethod
    def possible(architecture: Architecture, stream: Tensor) -> bool:
        """Whether there is compiled code for this machine and model.

        Args:
            stream: any tensor of the stream's dtype and device.
        """
        a = architecture
        whole = (a.hidden_size | a.intermediate_size | a.head_dim) % _VECTOR == 0
        plain = stream.device.type == "cpu" and stream.dtype == torch.float32
        return plain and whole and library() is not None

    def __call__(
        self, tokens: Sequence[Sequence[int]], starts: Sequence[int], first: int
    ) -> Tensor:
        """As `EagerForward` does.

        Raises:
            IndexError: a token or a position that the model has not.
        """
        counts = [len(row) for row in tokens]
        flat = [token for row in tokens for token in row]
        positions = [
            start + at for start, count in zip(starts, counts, strict=True) for at in range(count)
        ]
        if min(flat) < 0 or max(flat) >= self._vocabulary:
            raise IndexError(f"tokens {min(flat)} to {max(flat)} of {self._vocabulary}")
        if min(positions) < 0 or max(positions) >= self._longest:
            raise IndexError(f"positions {min(positions)} to {max(positions)} of {self._longest}")
        places = [first + row for row, count in enumerate(counts) for _ in range(count)]
        last = [end - 1 for end in accumulate(counts)]
        threads = torch.get_num_threads()
        logits = torch.empty((len(last), self._vocabulary))
        model = ctypes.byref(self._model)
        memory = torch.empty(self._compiled.scratch(model, len(flat), threads))
        self._compiled.forward(
            model,
            len(flat),
            _longs(flat),
            _longs(places),
            _longs(positions),
            len(last),
            _longs(last),
            threads,
            memory.data_ptr(),
            logits.data_ptr(),
        )
        return logits


def _longs(numbers: Sequence[int]) -> ctypes.Array[ctypes.c_long]:
    return (ctypes.c_long * len(numbers))(*numbers)
