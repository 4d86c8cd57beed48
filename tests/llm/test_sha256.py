from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from llm.sha256 import sha256_file


@pytest.mark.parametrize("size", [0, 1, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 1 << 20])
def test_the_digest_is_that_of_all_bytes(tmp_path: Path, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    file = tmp_path / "file"
    file.write_bytes(content[:size])
    assert sha256_file(file) == hashlib.sha256(content[:size]).hexdigest()
    assert sha256_file(str(file)) == sha256_file(file)
