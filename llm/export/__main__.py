"""`python -m llm.export run.json`: one export and its proof; see docs/stage-contract.md."""

from __future__ import annotations

import sys

from llm.export.run_file import Run, read
from llm.process.main import run_launched


def main(arguments: list[str]) -> int:
    """Export; the exit code."""
    return run_launched("llm.export", arguments, read, _export)


def _export(run: Run) -> None:
    """Copy the folder, compare, write parity.parquet; fails where the two are not the same."""
    import pyarrow.parquet as pq
    import torch

    from llm.export.hf import copy_folder
    from llm.export.parity import compare
    from llm.export.parity_table import parity_table, require

    if run.threads:
        torch.set_num_threads(run.threads)
    copy_folder(run.model, run.folder)
    checks = compare(
        run.folder, run.prompts, run.new_tokens, run.tolerance, run.threads, run.scratch
    )
    require(checks)
    run.results.mkdir(parents=True, exist_ok=True)
    pq.write_table(parity_table(checks), run.results / "parity.parquet")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
