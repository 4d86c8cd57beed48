"""What a general compressor needs for the same bytes: the mark a language model has to beat."""

from __future__ import annotations

import lzma

XZ = "xz -9e"


def xz_bits_per_byte(content: bytes) -> float:
    """Bits per byte of `xz -9e`, its container included."""
    packed = lzma.compress(content, format=lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME)
    return 8 * len(packed) / len(content)
