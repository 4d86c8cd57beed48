"""What pages and packages write for a licence, as SPDX names it."""

from __future__ import annotations

import pytest

from llm.corpus.source.licences import spdx


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://creativecommons.org/licenses/by-sa/4.0/deed.de", "CC-BY-SA-4.0"),
        ("http://creativecommons.org/licenses/by/3.0/de/", "CC-BY-3.0-DE"),
        ("http://creativecommons.org/licenses/by/3.0/es/legalcode", "CC-BY-3.0"),
        ("//creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("https://creativecommons.org/licenses/sampling/9.9/", None),
        ("This work is under CC BY-NC-ND 4.0.", "CC-BY-NC-ND-4.0"),
        ("CC0", "CC0-1.0"),
        ("cc-by-4.0", "CC-BY-4.0"),
        ("mit", "MIT"),
        ("MIT  License", "MIT"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("apache-2.0 or mit", "Apache-2.0 OR MIT"),
        ("BSD", None),
        ("All rights reserved", None),
        ("unknown", None),
        ("", None),
        (None, None),
        ("MIT " * 200, None),
    ],
)
def test_names(text: str | None, name: str | None) -> None:
    assert spdx(text) == name
