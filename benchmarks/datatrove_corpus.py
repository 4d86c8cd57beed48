"""FineWeb's steps by datatrove, as its example has them: run by benchmarks/corpus.py in an
environment that has datatrove, and nothing of Ingot.

    python datatrove_corpus.py WARCS OUTPUT TOKENIZER LANGUAGE_MODEL WORKERS

WARC -> URL filter -> trafilatura -> language -> Gopher repetition and quality -> C4 -> FineWeb ->
MinHash in its four steps (14 buckets of 8) -> tokens with the TOKENIZER given, and JSON lines of
the documents kept. Its defaults but two: no page is given up after a second, which on a busy
machine would lose sound ones, and the language model is the file given (it would fetch the larger
twin).
Prints one line of JSON: seconds of each part, and of each step what came in and what went on.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
    URLFilter,
)
from datatrove.pipeline.readers import JsonlReader, WarcReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers.jsonl import JsonlWriter
from datatrove.utils import lid
from datatrove.utils.hashing import HashConfig

_PATIENT_SECONDS = 60.0


def main() -> None:
    """Run the steps, one executor after the other."""
    warcs, output, tokenizer, model, workers = sys.argv[1:]
    lid.cached_asset_path_or_download = lambda *_, **__: model
    archives = len(list(Path(warcs).iterdir()))
    place = Path(output)
    config = MinhashConfig(
        hash_config=HashConfig(precision=64), num_buckets=14, hashes_per_bucket=8, n_grams=5
    )

    def removed(step: str) -> JsonlWriter:
        return JsonlWriter(f"{output}/removed/{step}")

    def folder(name: str) -> str:
        return f"{output}/{name}"

    def kept() -> JsonlReader:
        return JsonlReader(folder("filtered"))

    parts: dict[str, tuple[list[Any], int]] = {
        "filter": (
            [
                WarcReader(warcs),
                URLFilter(exclusion_writer=removed("url")),
                Trafilatura(favour_precision=True, timeout=_PATIENT_SECONDS),
                LanguageFilter(exclusion_writer=removed("language")),
                GopherRepetitionFilter(exclusion_writer=removed("gopher_repetition")),
                GopherQualityFilter(exclusion_writer=removed("gopher_quality")),
                C4QualityFilter(filter_no_terminal_punct=False, exclusion_writer=removed("c4")),
                FineWebQualityFilter(exclusion_writer=removed("fineweb")),
                JsonlWriter(folder("filtered")),
            ],
            archives,
        ),
        "signatures": (
            [kept(), MinhashDedupSignature(output_folder=folder("signatures"), config=config)],
            archives,
        ),
        "buckets": (
            [
                MinhashDedupBuckets(
                    input_folder=folder("signatures"),
                    output_folder=folder("buckets"),
                    config=config,
                )
            ],
            config.num_buckets,
        ),
        "clusters": (
            [
                MinhashDedupCluster(
                    input_folder=folder("buckets"),
                    output_folder=folder("remove_ids"),
                    config=config,
                )
            ],
            1,
        ),
        "tokens": (
            [
                kept(),
                MinhashDedupFilter(input_folder=folder("remove_ids")),
                JsonlWriter(folder("deduplicated")),
                DocumentTokenizer(
                    folder("tokens"), tokenizer, eos_token="<|endoftext|>", shuffle_documents=False
                ),
            ],
            archives,
        ),
    }
    seconds, steps = {}, []
    for name, (pipeline, tasks) in parts.items():
        logs = folder(f"logs/{name}")
        started = time.perf_counter()
        LocalPipelineExecutor(
            pipeline, tasks=tasks, workers=int(workers), logging_dir=logs, start_method="fork"
        ).run()
        seconds[name] = time.perf_counter() - started
        for step in json.loads((Path(logs) / "stats.json").read_text()):
            counts = {
                key: value["total"] if isinstance(value, dict) else value
                for key, value in step["stats"].items()
            }
            steps.append({"part": name, "step": step["name"], **counts})
    shutil.rmtree(place, ignore_errors=True)
    print(json.dumps({"seconds": seconds, "steps": steps}))


if __name__ == "__main__":
    main()
