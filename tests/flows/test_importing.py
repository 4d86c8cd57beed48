"""While much is imported nothing is collected; afterwards it is again."""

from __future__ import annotations

import gc

import pytest

from flows.cli.importing import all_of_it_stays


def test_what_is_imported_is_never_looked_at_again() -> None:
    before = gc.get_freeze_count()
    try:
        with all_of_it_stays():
            assert not gc.isenabled()
            held = [[number] for number in range(1000)]
        assert gc.isenabled()
        assert gc.get_freeze_count() >= before + len(held)
    finally:
        gc.unfreeze()


def test_an_import_that_fails_leaves_collecting_as_it_was() -> None:
    with pytest.raises(ImportError), all_of_it_stays():
        raise ImportError
    assert gc.isenabled()
    gc.disable()
    try:
        with all_of_it_stays():
            pass
        assert not gc.isenabled()
    finally:
        gc.unfreeze()
        gc.enable()
