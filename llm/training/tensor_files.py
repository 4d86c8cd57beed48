"""Tensors in safetensors files, whole or in pieces: what one process holds of each.

A file's metadata says under `pieces` where in a tensor each of its pieces belongs; a tensor that is
not named there is whole. So any number of processes reads what any other number has written.

Written here rather than by the library, which would hold Python's lock meanwhile: a checkpoint is
written beside steps.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

_KINDS = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_CHUNK = 16 << 20


@dataclass(frozen=True)
class Piece:
    """A piece of a tensor, or all of it.

    Attributes:
        value: plain, on any device.
        shape: of the whole tensor.
        offset: where in it the piece begins, a number per dimension.
    """

    name: str
    value: Tensor
    shape: tuple[int, ...]
    offset: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return self.value.numel() * self.value.element_size()


def pieces_held(tensors: Iterable[tuple[str, Tensor]], first: bool) -> Iterator[Piece]:
    """What this process is to write of tensors: each piece is written by one process.

    Args:
        first: whether this process is the first: it writes what all of them have.
    """
    for name, tensor in tensors:
        if not hasattr(tensor, "device_mesh"):
            if first:
                yield Piece(name, tensor.detach(), tuple(tensor.shape), (0,) * tensor.ndim)
        elif _is_mine(tensor):
            yield from _local_pieces(name, tensor)


def _is_mine(tensor: Any) -> bool:
    """Of processes that hold the same piece, the first writes it."""
    where = tensor.device_mesh.get_coordinate()
    return where is not None and all(
        place == 0
        for place, placement in zip(where, tensor.placements, strict=True)
        if placement.is_replicate()
    )


def _local_pieces(name: str, tensor: Any) -> Iterator[Piece]:
    local = tensor.detach().to_local()
    for chunk in tensor.__create_chunk_list__():
        if local.numel():
            yield Piece(name, local, tuple(tensor.shape), tuple(chunk.offsets))


def write(path: Path, pieces: Sequence[Piece]) -> str:
    """Write a file, make sure that it is on the disk, and return its SHA-256.

    Raises:
        OSError: no space, or no permission.
    """
    header: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    end = 0
    for piece in pieces:
        value = piece.value
        begin, end = end, end + piece.bytes
        header[piece.name] = {
            "dtype": _KINDS[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [begin, end],
        }
        if tuple(value.shape) != piece.shape:
            parts[piece.name] = {"shape": piece.shape, "offset": piece.offset}
    header["__metadata__"] = {"format": "pt"} | ({"pieces": json.dumps(parts)} if parts else {})
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for block in (len(text).to_bytes(8, "little"), text):
            digest.update(block)
            stream.write(block)
        for piece in pieces:
            for chunk in _chunks(piece.value):
                digest.update(chunk)
                stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())
    return digest.hexdigest()


def _chunks(value: Tensor) -> Iterator[memoryview]:
    flat = value.cpu().contiguous().flatten().view(torch.uint8)
    view: memoryview = flat.numpy().data
    for start in range(0, len(view), _CHUNK):
        yield view[start : start + _CHUNK]


class TensorFiles:
    """Some files as one set of tensors, read as they are asked for; a context manager.

    Raises:
        SafetensorError, OSError: a file is not readable.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._stack = contextlib.ExitStack()
        self._pieces: dict[str, list[tuple[Any, tuple[int, ...]]]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        for path in paths:
            file = self._stack.enter_context(safe_open(path, framework="pt"))
            parts = json.loads((file.metadata() or {}).get("pieces", "{}"))
            for name in file.keys():  # noqa: SIM118 - the file is no mapping
                shape = tuple(file.get_slice(name).get_shape())
                part = parts.get(name, {"shape": shape, "offset": (0,) * len(shape)})
                self._shapes[name] = tuple(part["shape"])
                self._pieces.setdefault(name, []).append((file, tuple(part["offset"])))

    def __enter__(self) -> TensorFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a whole tensor.

        Raises:
            KeyError: there is none of that name.
        """
        return self._shapes[name]

    def pieces(self, name: str) -> Iterator[Tensor]:
        """A tensor piece by piece."""
        for file, _ in self._pieces[name]:
            yield file.get_tensor(name)

    def read(self, name: str) -> Tensor:
        """A whole tensor."""
        shape = self._shapes[name]
        return self.read_region(name, (0,) * len(shape), shape)

    def read_region(self, name: str, offset: Sequence[int], size: Sequence[int]) -> Tensor:
        """A region of a tensor, put together from the pieces that it lies in.

        Raises:
            KeyError: there is no such tensor, or a piece of it is missing.
        """
        held = self._pieces[name]
        if len(held) == 1 and tuple(size) == self._shapes[name]:
            whole: Tensor = held[0][0].get_tensor(name)
            if tuple(whole.shape) == tuple(size):
                return whole
        wanted = torch.Size(size).numel()
        if not wanted:
            empty: Tensor = held[0][0].get_slice(name)[0:0].new_empty(tuple(size))
            return empty
        found: Tensor | None = None
        filled = 0
        for file, at in held:
            cut = file.get_slice(name)
            extent = cut.get_shape()
            begins = [max(o, a) for o, a in zip(offset, at, strict=True)]
            ends = [min(o + s, a + e) for o, s, a, e in zip(offset, size, at, extent, strict=True)]
            if any(b >= e for b, e in zip(begins, ends, strict=True)):
                continue
            there = tuple(slice(b - a, e - a) for b, e, a in zip(begins, ends, at, strict=True))
            here = tuple(slice(b - o, e - o) for b, e, o in zip(begins, ends, offset, strict=True))
            part = cut[there]
            found = part.new_empty(tuple(size)) if found is None else found
            found[here] = part
            filled += part.numel()
        if found is None or filled != wanted:
            raise KeyError(f"{name}: of {wanted} values {filled} are there")
        return found

    def read_like(self, name: str, like: Tensor) -> Tensor:
        """What this process holds of a tensor that is laid out as another one is."""
        if not hasattr(like, "device_mesh"):
            return self.read(name)
        from torch.distributed.tensor import DTensor

        assert isinstance(like, DTensor)
        local = like.to_local()
        [chunk] = like.__create_chunk_list__()  # type: ignore[no-untyped-call]
        mine = self.read_region(name, tuple(chunk.offsets), tuple(local.shape)).to(local.device)
        return DTensor.from_local(
            mine,
            like.device_mesh,
            like.placements,
            run_check=False,
            shape=like.shape,
            stride=like.stride(),
        )
