"""New tokens through the whole model in one call of compiled code: see `compiled_forward.c`.

Python and PyTorch take longer to begin the two dozen small operations of a layer than a CPU takes
to do them for a few tokens, and PyTorch's product of a few rows reads a matrix at a fraction of
the memory's speed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from llm.model.architecture import Architecture
from llm.model.machine_code import Matrix, library
from llm.model.weight_matrix import WeightMatrix

_VECTOR = 16  # numbers that are summed side by side; sizes are whole multiples of it


@dataclass(frozen=True)
class LayerWeights:
    """What a block multiplies with.

    Attributes:
        into_attention, into_mlp: weights of the norms, (D,).
        queries_keys_values: (H + 2 K) d outputs.
        queries_keys: norms of each head, (H + K, d), in which the scale of queries is; none where
            there are no such norms, and the scale is in the product.
        gates_values: 2 I outputs, gates first.
    """

    into_attention: Tensor
    queries_keys_values: WeightMatrix
    queries_keys: Tensor | None
    out: WeightMatrix
    into_mlp: Tensor
    gates_values: WeightMatrix
    down: WeightMatrix


class _Layer(ctypes.Structure):
    _fields_ = (
        ("into_attention", ctypes.c_void_p),
        ("queries_keys", ctypes.c_void_p),
        ("into_mlp", ctypes.c_void_p),
        ("queries_keys_values", Matrix),
        ("out", Matrix),
        ("gates_values", Matrix),
        ("down", Matrix),
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
        ("head", Matrix),
        ("cos", ctypes.c_void_p),
        ("sin", ctypes.c_void_p),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
    )


class CompiledForward:
    """Takes tokens of rows in.

    Args:
        keys, values: (layers, places, K, longest, d); those of new tokens are written into them.
        cos, sin: (longest, d).
    """

    def __init__(
        self,
        architecture: Architecture,
        layers: Sequence[LayerWeights],
        embedding: Tensor,
        norm: Tensor,
        head: WeightMatrix,
        cos: Tensor,
        sin: Tensor,
        keys: Tensor,
        values: Tensor,
    ) -> None:
        a = architecture
        # What only pointers lead to from here is kept alive.
        self._kept = (list(layers), embedding, norm, head, cos, sin, keys, values)
        self._vocabulary, self._longest = a.vocabulary_size, keys.shape[3]
        self._layers = (_Layer * a.layers)(*map(_as_c, layers))
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
            embedding=embedding.data_ptr(),
            norm=norm.data_ptr(),
            head=head.as_c(),
            cos=cos.data_ptr(),
            sin=sin.data_ptr(),
            keys=keys.data_ptr(),
            values=values.data_ptr(),
        )
        compiled = library()
        assert compiled is not None, "see `possible`"
        self._compiled = compiled

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
        """Take tokens of neighbouring rows in.

        Args:
            tokens: one or more of each row.
            starts: positions of each row so far.
            first: the place of the first row.

        Returns:
            Logits behind the last token of each row, (N, vocabulary), float32.

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


def _as_c(layer: LayerWeights) -> _Layer:
    norms = layer.queries_keys
    return _Layer(
        into_attention=layer.into_attention.data_ptr(),
        queries_keys=None if norms is None else norms.data_ptr(),
        into_mlp=layer.into_mlp.data_ptr(),
        queries_keys_values=layer.queries_keys_values.as_c(),
        out=layer.out.as_c(),
        gates_values=layer.gates_values.as_c(),
        down=layer.down.as_c(),
    )
