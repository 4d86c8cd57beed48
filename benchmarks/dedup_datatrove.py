"""datatrove's MinHash steps as a program, for an environment that has datatrove and no Ingot.

    python dedup_datatrove.py TEXTS.json RESULT.json SCRATCH TRIES

TEXTS holds `{name: [text, ...]}`. Of each name RESULT has the processor seconds of the signature
step (the best of the tries, after one over ten texts that loads the tokenizer) and the cluster each
text is in, null where it is alone.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from importlib.metadata import version
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig


def clusters(texts: list[str], scratch: Path, tries: int) -> tuple[float, list[int | None]]:
    documents = [Document(text=text, id=str(place)) for place, text in enumerate(texts)]
    config = MinhashConfig()
    step = MinhashDedupSignature(str(scratch / "signatures"), config)
    step.run(documents[:10], 0, 1)
    seconds = []
    for _ in range(tries):
        begun = time.process_time()
        step.run(documents, 0, 1)
        seconds.append(time.process_time() - begun)
    for bucket in range(config.num_buckets):
        step = MinhashDedupBuckets(
            str(scratch / "signatures"), str(scratch / "buckets"), config=config
        )
        step.run(None, bucket, config.num_buckets)
    step = MinhashDedupCluster(
        str(scratch / "buckets"), str(scratch / "clusters"), config, save_cluster_id=True
    )
    step.run(None, 0, 1)
    found: list[int | None] = [None] * len(texts)
    for path in (scratch / "clusters").glob("*.clusters"):
        for place, cluster in struct.iter_unpack("<II", path.read_bytes()):
            found[place] = cluster
    return min(seconds), found


def main() -> None:
    source, target, scratch, tries = sys.argv[1:]
    result = {}
    for number, (name, texts) in enumerate(json.loads(Path(source).read_text()).items()):
        seconds, found = clusters(texts, Path(scratch) / str(number), int(tries))
        result[name] = {"seconds": seconds, "clusters": found}
    Path(target).write_text(json.dumps({"version": version("datatrove"), "sets": result}))


if __name__ == "__main__":
    main()
