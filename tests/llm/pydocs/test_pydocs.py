import base64
import hashlib
import re
import sys
from pathlib import Path

import pytest

from llm.corpus.source.records import Page, Rejected, Removed
from llm.pydocs.distributions import (
    DistributionNotFoundError,
    describe,
    find_distribution,
    module_files,
)
from llm.pydocs.reader import read_distribution

LIMIT = 10_000_000
FILES = {
    "shop/__init__.py": '"""A shop."""\nfrom shop._till import Till as Till, pay\n'
    "from ._stock import *\n",
    "shop/_till.py": (
        "class Till:\n"
        '    """Where money goes."""\n'
        "    def __init__(self, drawer, /, size: int = 3, *, lock='x' * 99):\n"
        "        pass\n"
        "    def open(self, key=None) -> bool:\n"
        '        """Open the drawer."""\n'
        "    def _jam(self):\n"
        '        """Nobody sees this."""\n'
        "    @property\n"
        "    def total(self):\n"
        '        """Coins inside."""\n'
        "    @staticmethod\n"
        "    def count(coins, *more, **rest):\n"
        '        """Count coins."""\n'
        "    @classmethod\n"
        "    def empty(cls):\n"
        '        """A till without coins."""\n'
        "def pay(amount):\n"
        '    """Pay <amount>."""\n'
        "def hidden():\n"
        '    """Not exported."""\n'
    ),
    "shop/_stock.py": (
        "__all__ = ['Box']\n"
        'class Box:\n    """A box."""\n'
        'def loose():\n    """Not in __all__."""\n'
    ),
    "shop/prices.py": '"""Prices."""\nasync def ask(item):\n    """Ask for a price."""\n'
    "try:\n    import nothing\nexcept ImportError:\n"
    '    def late():\n        """Defined late."""\n',
    "shop/plain.py": "x = 1\n",
    "shop/broken.py": "def (:\n",
    "shop/compiled.py": "from numpy import add_newdoc\n"
    "add_newdoc('shop.prices', 'fast', '''fast(a, b)\n\nCompiled.''')\n",
    "shop/tests/test_shop.py": '"""A test."""\n',
    "shop/_vendor/other.py": '"""Not ours."""\n',
}
METADATA = (
    "Metadata-Version: 2.4\nName: shop\nVersion: 1.2\nLicense-Expression: MIT\n"
    "Description-Content-Type: text/markdown\n\n# Shop\n\nSells *things*.\n"
)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A distribution as pip leaves it; returns its .dist-info folder."""
    folder = tmp_path / "shop-1.2.dist-info"
    names = {**FILES, "shop-1.2.dist-info/METADATA": METADATA}
    rows = []
    for name, text in names.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        rows.append(f"{name},sha256={digest.decode()},{len(text)}")
    rows += ["shop/__pycache__/prices.cpython-311.pyc,,", "../../bin/shop,sha256=abc,9"]
    (folder / "RECORD").write_text("\n".join([*rows, "shop-1.2.dist-info/RECORD,,"]) + "\n")
    return folder


def headings(page: Page) -> list[str]:
    found = re.findall(r"<h[23] id=[^>]*>(.*?)</h[23]>", page.payload.decode())
    return [text.replace("&lt;", "<").replace("&gt;", ">") for text in found]


def test_pages_of_a_distribution(shop: Path) -> None:
    records = {record.url: record for record in read_distribution("shop", shop, LIMIT)}
    pages = {url: record for url, record in records.items() if isinstance(record, Page)}
    assert list(pages) == [
        "pydocs://shop/README",
        "pydocs://shop/shop",
        "pydocs://shop/shop.prices",
    ]
    assert isinstance(records["pydocs://shop/shop.broken"], Rejected)
    assert isinstance(records["pydocs://shop/shop.plain"], Removed)
    assert isinstance(records["pydocs://shop/shop.compiled"], Removed)
    assert len(records) == 6
    assert {page.license for page in pages.values()} == {"MIT"}
    assert headings(pages["pydocs://shop/shop"]) == [
        "class shop.Box",
        "class shop.Till(drawer, /, size=3, *, lock='x' * 99)",
        "shop.Till.open(key=None)",
        "shop.Till.total",
        "shop.Till.count(coins, *more, **rest)",
        "shop.Till.empty()",
        "shop.pay(amount)",
    ]
    assert headings(pages["pydocs://shop/shop.prices"]) == [
        "shop.prices.ask(item)",
        "shop.prices.late()",
        "shop.prices.fast(a, b)",
    ]
    text = pages["pydocs://shop/shop"].payload.decode()
    assert "<title>shop</title>" in text
    assert '<a href="pydocs://shop/shop.prices">' in text
    assert "Pay &lt;amount&gt;." in text
    for absent in ("Nobody sees this", "Not exported", "Not in __all__", "Not ours"):
        assert absent not in text
    assert "<em>things</em>" in pages["pydocs://shop/README"].payload.decode()


def test_tests_and_vendored_code_are_left_out(shop: Path) -> None:
    names = [module.name for module in module_files("shop", shop)]
    assert names == sorted(names)
    assert not [name for name in names if "test" in name or "_vendor" in name]


def test_restructured_readme(shop: Path) -> None:
    text = METADATA.replace("text/markdown", "text/x-rst").replace("# Shop", "Shop\n====")
    (shop / "METADATA").write_text(
        text + "\n.. include:: /etc/passwd\n\n.. raw:: html\n\n   <b>x</b>\n"
    )
    first = next(read_distribution("shop", shop, LIMIT))
    assert isinstance(first, Page)
    body = first.payload.decode()
    assert "<em>things</em>" in body
    assert "root:" not in body
    assert "<b>x</b>" not in body


@pytest.mark.parametrize(
    ("lines", "license"),
    [
        ("License-Expression: BSD-3-Clause\nLicense: other", "BSD-3-Clause"),
        ("License: Apache 2.0", "Apache 2.0"),
        ("License: long\n  text\nClassifier: License :: OSI :: MIT License", "MIT License"),
        ("Classifier: Topic :: Text", "unknown"),
    ],
)  # fmt: skip
def test_licence(shop: Path, lines: str, license: str) -> None:
    (shop / "METADATA").write_text(METADATA.replace("License-Expression: MIT", lines))
    assert describe("shop", shop).license == license


def test_nothing_is_imported(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop.parent / "shop" / "prices.py").write_text('"""Prices."""\nraise SystemExit("imported")\n')
    monkeypatch.syspath_prepend(str(shop.parent))
    assert find_distribution("shop").folder == shop
    urls = [r.url for r in read_distribution("shop", shop, LIMIT) if isinstance(r, Page)]
    assert "pydocs://shop/shop.prices" in urls
    assert "shop" not in sys.modules


def test_the_digest_covers_what_is_read_and_no_more(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(shop.parent))
    record, before = shop / "RECORD", find_distribution("shop")
    lines = record.read_text()
    record.write_text(lines.replace("sha256=abc,9", "sha256=def,8") + "shop/x.cpython-312.pyc,,\n")
    assert find_distribution("shop") == before
    record.write_text(lines.replace("shop/plain.py,sha256=", "shop/plain.py,sha256=x"))
    assert find_distribution("shop").digest != before.digest


def test_public_names_of_numpy_are_those_its_users_write() -> None:
    found = find_distribution("numpy")
    pages = {r.url: r for r in read_distribution("numpy", found.folder, LIMIT)}
    linalg = pages["pydocs://numpy/numpy.linalg"]
    assert isinstance(linalg, Page)
    assert "numpy.linalg.norm(x, ord=None, axis=None, keepdims=False)" in headings(linalg)
    assert not [url for url in pages if "._" in url]


def test_the_standard_library_is_offered_as_python() -> None:
    found = find_distribution("python")
    names = {module.name for module in module_files("python", found.folder)}
    assert {"textwrap", "email.message", "json"} <= names
    assert not [name for name in names if name.startswith(("test.", "site-packages"))]


def test_a_missing_distribution_is_named_with_the_fix() -> None:
    with pytest.raises(DistributionNotFoundError, match=r"'no-such-thing' is not installed.*list"):
        find_distribution("no-such-thing")
