"""Secrets that give access, by the form that those who issue them give them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llm.corpus.annotate.pii.spans import PiiMatch, at

_FORMS = (
    r"A(?:KIA|SIA|ROA|IDA)[0-9A-Z]{16}",  # Amazon Web Services
    r"gh[pousr]_[A-Za-z0-9]{36,251}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{60,250}",
    r"glpat-[A-Za-z0-9_-]{20,64}",  # GitLab
    r"xox[abeoprs]-[A-Za-z0-9-]{10,250}",  # Slack
    r"[rs]k_live_[A-Za-z0-9]{16,247}",  # Stripe
    r"AIza[A-Za-z0-9_-]{35}",  # Google
    r"ya29\.[A-Za-z0-9_-]{20,400}",
    r"sk-(?:proj-|svcacct-|admin-|ant-(?:api|admin)[0-9]{2}-)?[A-Za-z0-9_-]{32,200}",
    r"hf_[A-Za-z0-9]{30,40}",  # Hugging Face
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-AgE[A-Za-z0-9_-]{50,400}",
    r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",  # SendGrid
    r"key-[0-9a-f]{32}",  # Mailgun
    r"dop_v1_[0-9a-f]{64}",  # DigitalOcean
    r"eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,1000}",  # RFC 7519
)
_KEY = re.compile(rf"(?<![A-Za-z0-9_-])(?:{'|'.join(_FORMS)})(?![A-Za-z0-9_-])")
# What the forms begin with, found far faster than they are.
_BEGINNINGS = (
    *("AKIA", "ASIA", "AROA", "AIDA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    *("glpat-", "xox", "k_live_", "AIza", "ya29.", "sk-", "hf_", "npm_", "pypi-AgE", "SG."),
    *("key-", "dop_v1_", "eyJ"),
)
_BLOCK_BEGIN = re.compile(r"-----BEGIN (?:[A-Z]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_END = re.compile(r"-----END (?:[A-Z]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----")
_LONGEST_BLOCK = 20_000


def keys(text: str) -> Iterator[PiiMatch]:
    """Keys and tokens of known providers, and private keys in PEM."""
    for found in _KEY.finditer(text) if any(map(text.__contains__, _BEGINNINGS)) else ():
        # A name in words, such as sk-learn-something-long, has no digit or no capital.
        content = found[0]
        if content.startswith("sk-") and not (
            any(map(str.isdigit, content)) and any(map(str.isupper, content))
        ):
            continue
        yield at(text, found.start(), found.end(), "key")
    begin = _BLOCK_BEGIN.search(text)
    while begin:
        end = _BLOCK_END.search(text, begin.end(), begin.end() + _LONGEST_BLOCK)
        until = end.end() if end else begin.end()
        yield at(text, begin.start(), until, "key")
        begin = _BLOCK_BEGIN.search(text, until)
