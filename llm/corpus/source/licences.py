"""Licences as SPDX names them (https://spdx.org/licenses), from what pages and packages write."""

from __future__ import annotations

import re

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

_LONGEST = 300
# Creative Commons: addresses of deeds and legal texts, and what people write for them.
_CC_ADDRESS = re.compile(
    r"creativecommons\.org/(licenses|publicdomain)/([a-z+-]+)/(\d\.\d)(?:/([a-z]{2,3})(?![a-z]))?",
    re.IGNORECASE,
)
_CC_WORDS = re.compile(
    r"\bCC[ -](BY(?:[ -](?:NC|SA|ND))*)[ -]v?(\d\.\d)(?!\d)|\b(CC-?0)(?:[ -]v?1\.0)?\b",
    re.IGNORECASE,
)
# Versions for a country that SPDX knows apart; others have the international version's terms.
_COUNTRIES = frozenset(
    [
        *(f"CC-BY-3.0-{country}" for country in ("AT", "AU", "DE", "IGO", "NL", "US")),
        *(f"CC-BY-SA-3.0-{country}" for country in ("AT", "DE", "IGO")),
        *(f"CC-BY-NC-SA-3.0-{country}" for country in ("DE", "IGO")),
        *(f"CC-BY-NC-ND-3.0-{country}" for country in ("DE", "IGO")),
        *("CC-BY-2.5-AU", "CC-BY-NC-3.0-DE", "CC-BY-ND-3.0-DE", "CC-BY-SA-2.0-UK"),
        *("CC-BY-SA-2.1-JP", "CC-BY-NC-SA-2.0-DE", "CC-BY-NC-SA-2.0-FR", "CC-BY-NC-SA-2.0-UK"),
    ]
)
_WORDS = {
    "mit license": "MIT",
    "the mit license": "MIT",
    "expat": "MIT",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "3-clause bsd": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause",
    "modified bsd license": "BSD-3-Clause",
    "bsd 2-clause": "BSD-2-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "2-clause bsd license": "BSD-2-Clause",
    "python software foundation license": "PSF-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "odc-by": "ODC-By-1.0",
}


def spdx(text: str | None) -> str | None:
    """The SPDX identifier or expression a text stands for; `None` where it is not sure.

    Args:
        text: an identifier, an address, or a name in full; longer texts are none of these.
    """
    if not text or len(text) > _LONGEST:
        return None
    text = " ".join(text.split())
    found = _of_address(text) or _of_words(text) or _WORDS.get(text.lower())
    if found is not None:
        return found
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return None


def _of_address(text: str) -> str | None:
    found = _CC_ADDRESS.search(text)
    if found is None:
        return None
    kind, name, version, country = found[1].lower(), found[2].lower(), found[3], found[4]
    if kind == "publicdomain":
        return {"zero": "CC0-1.0", "mark": "CC-PDM-1.0"}.get(name)
    if country and (own := f"CC-{name.upper()}-{version}-{country.upper()}") in _COUNTRIES:
        return own
    return _known(f"CC-{name.upper()}-{version}")


def _of_words(text: str) -> str | None:
    found = _CC_WORDS.search(text)
    if found is None:
        return None
    if found[3]:
        return "CC0-1.0"
    return _known(f"CC-{found[1].upper().replace(' ', '-')}-{found[2]}")


def _known(name: str) -> str | None:
    try:
        return str(canonicalize_license_expression(name))
    except InvalidLicenseExpression:
        return None
