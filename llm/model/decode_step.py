"""A step of generation as one call of compiled code: see `decode_step.c`.

Python and PyTorch take longer to begin the two dozen small operations of a layer than a CPU takes
to do them. Where the model and the machine allow, a step of one new token a row is asked for once.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from llm.model.architecture import Architecture
from llm.model.machine_code import Matrix, library
from llm.model.row_products import VECTOR, RowProduct


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
    queries_keys_values: RowProduct
    queries_keys: Tensor | None
    out: RowProduct
    into_mlp: Tensor
    gates_values: RowProduct
    down: RowProduct


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


class DecodeStep:
    """Logits behind one more token of each row.

    Args:
        keys, values: (layers, places, K, longest, d); the step writes the new ones into them.
        cos, sin: (longest, d).
    """

    def __init__(
        self,
        architecture: Architecture,
        layers: Sequence[LayerWeights],
        embedding: Tensor,
        norm: Tensor,
        head: RowProduct,
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
            head=head.matrix,
            cos=cos.data_ptr(),
            sin=sin.data_ptr(),
            keys=keys.data_ptr(),
            values=values.data_ptr(),
        )
        compiled = library()
        assert compiled is not None, "see `possible`"
        self._compiled = compiled

    @staticmethod
    def possible(
        architecture: Architecture, stream: Tensor, products: Sequence[RowProduct]
    ) -> bool:
        """Whether there is compiled code for this machine and model.

        Args:
            stream: any tensor of the stream's dtype and device.
            products: all that the model multiplies with.
        """
        a = architecture
        sizes = (a.hidden_size, a.intermediate_size, a.head_dim)
        plain = stream.device.type == "cpu" and stream.dtype == torch.float32
        whole = all(size % VECTOR == 0 for size in sizes)
        return plain and whole and all(product.matrix is not None for product in products)

    def __call__(self, tokens: Sequence[int], positions: Sequence[int], first: int) -> Tensor:
        """Take a token of each row in.

        Args:
            positions: of each token in its row.
            first: the place of the first row; the others follow.

        Returns:
            (N, vocabulary), float32.

        Raises:
            IndexError: a token or a position that the model has not.
        """
        if min(tokens) < 0 or max(tokens) >= self._vocabulary:
            raise IndexError(f"tokens {min(tokens)} to {max(tokens)} of {self._vocabulary}")
        if min(positions) < 0 or max(positions) >= self._longest:
            raise IndexError(f"positions {min(positions)} to {max(positions)} of {self._longest}")
        rows, threads = len(tokens), torch.get_num_threads()
        logits = torch.empty((rows, self._vocabulary))
        model = ctypes.byref(self._model)
        memory = torch.empty(self._compiled.scratch(model, rows, threads))
        numbers = ctypes.c_long * rows
        self._compiled.step(
            model,
            rows,
            first,
            numbers(*tokens),
            numbers(*positions),
            threads,
            memory.data_ptr(),
            logits.data_ptr(),
        )
        return logits


def _as_c(layer: LayerWeights) -> _Layer:
    norms = layer.queries_keys
    return _Layer(
        into_attention=layer.into_attention.data_ptr(),
        queries_keys=None if norms is None else norms.data_ptr(),
        into_mlp=layer.into_mlp.data_ptr(),
        queries_keys_values=layer.queries_keys_values.matrix,
        out=layer.out.matrix,
        gates_values=layer.gates_values.matrix,
        down=layer.down.matrix,
    )
