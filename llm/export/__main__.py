"""`python -m llm.export run.json`: one export and its proof; see docs/stage-contract.md."""

from __future__ import annotations

import sys

from llm.export.run_file import Run, read
from llm.process.main import run_launched


def main(arguments: list[str]) -> int:
    """Export; the exit code."""
    return run_launched("llm.export", arguments, read, _export)


def _export(run: Run) -> None:
    """Copy the folder, compare, write what was found; fails where the two are not the same."""
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
    _export_gguf(run)


def _export_gguf(run: Run) -> None:
    """Write and compare the GGUF files, if any are asked for."""
    if not run.gguf.types:
        return
    import pyarrow.parquet as pq

    from llm.export.gguf import file_name, write_gguf
    from llm.export.gguf_parity import compare_gguf, compute_ours, llamacpp_installed
    from llm.export.gguf_parity_table import gguf_parity_table, require_gguf
    from llm.export.modelfile import write_modelfile

    folder, about = run.gguf.folder, run.gguf.about
    files = {kind: folder / file_name(about.name, kind) for kind in run.gguf.types}
    folder.mkdir(parents=True, exist_ok=True)
    for kind, file in files.items():
        write_gguf(run.folder, file, kind, about)
    write_modelfile(run.folder, files[run.gguf.types[0]])
    if not llamacpp_installed():
        return
    ours = compute_ours(run.folder, run.prompts, run.new_tokens, run.gguf.rows)
    measures = [
        measure
        for kind, file in files.items()
        for measure in compare_gguf(file, kind, ours, run.tolerance, run.threads, run.scratch)
    ]
    require_gguf(measures)
    pq.write_table(gguf_parity_table(measures), run.results / "gguf_parity.parquet")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
