"""The bill of materials: licences of libraries, by whatever reads their metadata."""

from __future__ import annotations

from importlib.metadata import version

import importlib_metadata
import pytest

from tasks.papers import sbom


def test_a_licence_is_found_where_a_missing_field_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Imported, that package reads for the standard library too, and raises where that has None.
    with pytest.raises(KeyError):
        importlib_metadata.metadata("datasketch")["License-Expression"]
    monkeypatch.setattr(sbom, "metadata", importlib_metadata.metadata)
    for name, licence in (
        ("fastwarc", "Apache-2.0"),
        ("datasketch", "MIT"),
        ("xxhash", "BSD-2-Clause"),
    ):
        assert sbom._licence_of(name, version(name)) == licence
    assert sbom._licence_of("fastwarc", "0.0") is None
