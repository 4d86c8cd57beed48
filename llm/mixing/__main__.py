"""`python -m llm.mixing run.json`: train and measure the proxies of a search for a mixture."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from llm.mixing.run_file import Search, read
from llm.process.main import run_launched
from llm.process.parent import StopRequest


def main(arguments: list[str]) -> int:
    """Carry the search out; the exit code."""
    return run_launched("llm.mixing", arguments, read, _search)


def _search(search: Search) -> None:
    stop = StopRequest()
    from llm.mixing.search import carry_out

    found = [asdict(each) for each in carry_out(search, stop)]
    search.results.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
