"""Arrays are made once, read back as they were, and made again where what is kept is not them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from llm.cache_folder import cache_folder
from llm.corpus.annotate import language
from llm.corpus.decontaminate import word_keys
from llm.corpus.text_metrics import characters
from llm.kept_arrays import Arrays, kept_arrays

MADE: Arrays = {
    "numbers": np.arange(35, dtype=np.uint16).reshape(5, 7),
    "names": np.array(["a", "ħé", ""]),
    "halves": np.linspace(0, 1, 9).astype(np.float16),
    "none": np.empty((0, 3), np.int64),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _maker() -> tuple[list[int], Callable[..., Arrays]]:
    calls: list[int] = []

    def kept(sources: Sequence[Path] = (), of: Sequence[str] = ()) -> Arrays:
        def make() -> Arrays:
            calls.append(1)
            return MADE

        return kept_arrays("some", sources, of, make)

    return calls, kept


def _assert_made(found: Arrays) -> None:
    assert found.keys() == MADE.keys()
    for name, values in MADE.items():
        assert found[name].dtype == values.dtype
        assert np.array_equal(found[name], values)


def _files() -> list[Path]:
    return sorted((cache_folder() / "arrays").iterdir())


def test_they_are_made_once() -> None:
    calls, kept = _maker()
    for _ in range(3):
        _assert_made(kept())
    assert len(calls) == 1


def test_another_source_or_library_makes_others(tmp_path: Path) -> None:
    calls, kept = _maker()
    source = tmp_path / "code.py"
    source.write_text("one = 1\n")
    kept([source], ["1.0"])
    kept([source], ["1.1"])
    source.write_text("one = 2\n")
    kept([source], ["1.1"])
    assert len(calls) == 3
    kept([source], ["1.1"])
    assert len(calls) == 3


@pytest.mark.parametrize("cut", [0, 1, 40, 200, -1])
def test_a_file_that_is_cut_off_is_made_again(cut: int) -> None:
    calls, kept = _maker()
    kept()
    (file,) = _files()
    whole = file.read_bytes()
    file.write_bytes(whole[:cut])
    _assert_made(kept())
    assert file.read_bytes() == whole
    assert len(calls) == 2


def test_a_byte_that_changed_is_seen() -> None:
    calls, kept = _maker()
    kept()
    (file,) = _files()
    whole = bytearray(file.read_bytes())
    whole[-70] ^= 1
    file.write_bytes(whole)
    _assert_made(kept())
    assert len(calls) == 2


def test_old_ones_go_and_a_cache_that_cannot_be_written_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, kept = _maker()
    for number in range(10):
        kept(of=[str(number)])
    assert len(_files()) == 4
    kept(of=["9"])
    assert len(calls) == 10
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    _assert_made(kept())


def test_only_this_user_can_write_them() -> None:
    _, kept = _maker()
    kept()
    (file,) = _files()
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


def test_tables_of_characters_read_back_are_those_computed() -> None:
    for tables in (characters._tables, word_keys._tables):
        made, read = tables.__wrapped__(), tables.__wrapped__()
        pairs = (
            zip(made, read, strict=True)
            if isinstance(made, tuple)
            else ((made[name], read[name]) for name in made)
        )
        for one, other in pairs:
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)
    assert len(_files()) == 2


def test_the_second_language_model_is_that_of_its_library() -> None:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    own = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    texts = [
        "Habari ya asubuhi, watoto wanaenda shuleni leo.",
        "Ngiyabonga kakhulu ngosizo lwakho namhlanje.",
        "The quick brown fox",
        "12 345",
        "ཀ་ཁ་ག་ང་",
    ]
    for _ in range(2):  # unpacked, and read back
        model = language._second_model.__wrapped__()
        assert [model.classify(text) for text in texts] == [own.classify(text) for text in texts]
