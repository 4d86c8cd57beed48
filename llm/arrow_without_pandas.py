"""Arrow without pandas, which it would import with the first array made of a list.

Arrow only wants to know whether what it is given is of pandas. Nothing here is, and finding out
costs a third of a second in every command and every worker.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

import pyarrow as pa


class _NoPandas(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if name == "pandas":
            raise ImportError(name=name)


def block_pandas() -> None:
    """Let Arrow find, the one time it looks, that there is no pandas.

    Who asks for pandas itself (`import pandas`, `to_pandas`) still gets it.
    """
    if "pandas" in sys.modules:
        return
    blind = _NoPandas()
    sys.meta_path.insert(0, blind)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(blind)
