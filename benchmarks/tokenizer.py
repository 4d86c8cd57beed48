"""Training a tokenizer and encoding with it, beside `tokenizers` alone: same texts, one thread.

    python -m benchmarks.tokenizer --data DIR [--megabytes 32] [--vocabulary 32768] [--growth 10]

Texts are those of the `.jsonl` and `.txt` files below DIR (also `.gz`): the field `text` of a
record, or else all its strings; of more than `--megabytes` those first by a hash. Each encoder runs
in a process of its own, twice over all texts: cold, as a corpus is encoded, and warm, every word
seen before. Seconds are processor time without loading. Ids must be equal, text by text. Then
Ingot's encodes `--growth` times as much, letters turned so that every pass has new words: its peak
memory is to stay what it was.

Of numbers it tells what `digits: triple` saves over `single`: bytes a token on all texts, and on
those in which at least one character in 25 is a digit, with a vocabulary of each kind.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import resource
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from llm.tokens.text_file import TextFile, write_texts

ENCODE, TRAIN, MEMORY, DIGITS = 40.0, 1.0, 1.15, 0.04
_BATCH_BYTES, _BATCH_ROWS = 1 << 20, 256  # as `pack` hands texts to its encoder
_ONE_THREAD = {
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "FASTOKENS_BPE_THREADS": "1",
}


def texts_below(folder: Path) -> Iterator[str]:
    """The texts of all files, in order of their names."""
    for path in sorted(folder.rglob("*")):
        name = path.name.removesuffix(".gz")
        if not path.is_file() or not name.endswith((".jsonl", ".txt")):
            continue
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        content = raw.decode("utf-8", "replace")
        if name.endswith(".txt"):
            yield content
            continue
        for line in content.split("\n"):
            if line.strip():
                record = json.loads(line)
                strings = [value for value in record.values() if isinstance(value, str)]
                yield record.get("text") or "\n".join(strings)


def chosen(texts: Iterator[str], size: int) -> list[str]:
    """Different texts, at most `size` bytes of them, first by a hash."""
    keyed = sorted({(xxhash.xxh3_64_hexdigest(text.encode()), text) for text in texts if text})
    taken, room = [], size
    for _, text in keyed:
        length = len(text.encode())
        if length <= room:
            taken.append(text)
            room -= length
    return taken


def batches(texts: TextFile) -> Iterator[list[str]]:
    """Texts as the stages encode them: some hundred, or a megabyte."""
    batch, size = list[str](), 0
    for text in texts:
        if batch and (len(batch) == _BATCH_ROWS or size + len(text) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def turned(text: str, by: int) -> str:
    """Each ASCII letter moved on in the alphabet: other words of the same lengths."""
    lower, upper = string.ascii_lowercase, string.ascii_uppercase
    moved = lower[by:] + lower[:by] + upper[by:] + upper[:by]
    return text.translate(str.maketrans(lower + upper, moved))


def encode_by(name: str, folder: Path) -> Any:
    """A function: texts -> the ids of each, as that library gives them."""
    if name == "ingot":
        from llm.tokens.encoding import DocumentEncoder

        return DocumentEncoder(folder).documents
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return lambda texts: [
        encoded.ids for encoded in tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    ]


def measure_encoding(name: str, folder: Path, path: Path, growth: int) -> dict[str, Any]:
    """In a process of its own: seconds cold and warm, a digest of all ids, peak memory."""
    started = time.process_time()
    encode = encode_by(name, folder)
    encode(["one"])
    made: dict[str, Any] = {"load_seconds": time.process_time() - started}
    digest, size, tokens = hashlib.sha256(), 0, 0
    for pass_ in ("cold", "warm") if growth == 1 else map(str, range(growth)):
        seconds = 0.0
        for batch in batches(TextFile(path)):
            if growth > 1:
                batch = [turned(text, int(pass_)) for text in batch]
            started = time.process_time()
            found = encode(batch)
            seconds += time.process_time() - started
            if pass_ == "cold":
                for ids in found.to_pylist() if isinstance(found, pa.Array) else found:
                    ids = ids[:-1] if isinstance(found, pa.Array) else ids  # the end of text
                    digest.update(np.array([len(ids), *ids], "<i4").tobytes())
                    tokens += len(ids)
                size += sum(len(text.encode()) for text in batch)
        made[f"{pass_}_seconds"] = seconds
    if growth == 1:
        made |= {"ids": digest.hexdigest(), "bytes": size, "tokens": tokens}
    made["peak_mb"] = peak_mb()
    return made


def peak_mb() -> float:
    """Most memory this process held. What getrusage tells on Linux counts its parent's too."""
    status = Path("/proc/self/status")
    if status.exists():
        held = next(line for line in status.read_text().split("\n") if line.startswith("VmHWM"))
        return int(held.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_training(name: str, folder: Path, path: Path, vocabulary: int) -> dict[str, Any]:
    """In a process of its own: seconds to learn a vocabulary; it is left in `folder`."""
    from llm.tokens.bpe import SPLITS, BpeSettings, train
    from llm.tokens.hf_folder import write_folder
    from llm.tokens.special_tokens import END_OF_TEXT, SPECIAL_TOKENS

    texts = TextFile(path)
    kind, _, digits = name.partition(" ")
    started = time.process_time()
    if kind == "ingot":
        made = train(texts, BpeSettings(vocabulary, 2, 32, digits))
    else:
        from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(SPLITS[digits]), "isolated", invert=False),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            min_frequency=2,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            max_token_length=32,
            show_progress=False,
        )
        made.train_from_iterator(texts, trainer, len(texts))
    seconds = time.process_time() - started
    folder.mkdir(parents=True)
    write_folder(made, folder, END_OF_TEXT)
    return {"seconds": seconds, "vocabulary": made.get_vocab_size()}


def bytes_per_token(folder: Path, texts: list[str]) -> float:
    """Of texts together."""
    from llm.tokens.encoding import DocumentEncoder
    from llm.tokens.fertility import fertility

    return fertility(DocumentEncoder(folder), texts).bytes_per_token or 0.0


def of_numbers(texts: list[str]) -> list[str]:
    """Those with many digits."""
    return [text for text in texts if sum(map(str.isdigit, text)) >= DIGITS * len(text)]


def alone(what: str, *arguments: Any) -> dict[str, Any]:
    """What a function of this file gives in a process of its own, on one thread."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tokenizer", "--run", what, *map(str, arguments)],
        env={**os.environ, **_ONE_THREAD},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    record: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return record


def measure(data: Path, size: int, vocabulary: int, growth: int) -> tuple[dict[str, Any], ...]:
    """What was read, a row for each thing measured, and the figures of the bars."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, path = Path(scratch), Path(scratch) / "texts.arrow"
        texts = chosen(texts_below(data), size)
        write_texts([pa.table({"text": texts})], path)
        read = sum(len(text.encode()) for text in texts)
        rows: dict[str, Any] = {}
        for name in ("tokenizers single", "ingot single", "ingot triple"):
            made = alone("train", name, folder / name, path, vocabulary)
            rows[f"train {name}"] = {"mb_per_second": read / made["seconds"] / 1e6, **made}
        learned = [
            json.loads((folder / f"{name} single" / "tokenizer.json").read_text())["model"]
            for name in ("ingot", "tokenizers")
        ]
        rows["train ingot single"]["equal_merges"] = learned[0]["merges"] == learned[1]["merges"]
        for name in ("tokenizers", "ingot"):
            made = alone("encode", name, folder / "ingot single", path, 1)
            rows[f"encode {name}"] = {
                "cold_mb_per_second": read / made["cold_seconds"] / 1e6,
                "warm_mb_per_second": read / made["warm_seconds"] / 1e6,
                **made,
            }
        grown = alone("encode", "ingot", folder / "ingot single", path, growth)
        rows[f"encode ingot, {growth} times as much"] = {"peak_mb": grown["peak_mb"]}
        numbers = of_numbers(texts)
        for digits in ("single", "triple"):
            rows[f"digits {digits}"] = {
                "bytes_per_token": bytes_per_token(folder / f"ingot {digits}", texts),
                "bytes_per_token_numbers": bytes_per_token(folder / f"ingot {digits}", numbers),
            }
    ours, bare = rows["encode ingot"], rows["encode tokenizers"]
    figures = {
        "encode_vs_tokenizers": ours["cold_mb_per_second"] / bare["cold_mb_per_second"],
        "encode_warm_vs_tokenizers": ours["warm_mb_per_second"] / bare["warm_mb_per_second"],
        "equal_ids": float(ours["ids"] == bare["ids"]),
        "train_vs_tokenizers": rows["train tokenizers single"]["seconds"]
        / rows["train ingot single"]["seconds"],
        "memory_growth": grown["peak_mb"] / ours["peak_mb"],
    }
    given = {
        "texts": len(texts),
        "bytes": read,
        "texts_of_numbers": len(numbers),
        "bytes_of_numbers": sum(len(text.encode()) for text in numbers),
        "vocabulary": vocabulary,
        "growth": growth,
    }
    return given, rows, figures


def bars(figures: dict[str, float]) -> list[dict[str, Any]]:
    """Each figure that has a target beside it."""
    targets = {
        "encode_vs_tokenizers": ENCODE,
        "train_vs_tokenizers": TRAIN,
        "equal_ids": 1.0,
        "memory_growth": MEMORY,
    }
    return [
        {
            "name": name,
            "value": figures[name],
            "target": target,
            "holds": figures[name] <= target
            if name == "memory_growth"
            else figures[name] >= target,
        }
        for name, target in targets.items()
    ]


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    if sys.argv[1:2] == ["--run"]:
        what, name, folder, path, number = sys.argv[2:]
        run = {"train": measure_training, "encode": measure_encoding}[what]
        print(json.dumps(run(name, Path(folder), Path(path), int(number))))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--megabytes", type=float, default=32)
    parser.add_argument("--vocabulary", type=int, default=32_768)
    parser.add_argument("--growth", type=int, default=10)
    args = parser.parse_args()
    given, rows, figures = measure(
        args.data, int(args.megabytes * 1e6), args.vocabulary, args.growth
    )
    print(f"{given['texts']} texts, {given['bytes'] / 1e6:.1f} MB")
    for name, row in rows.items():
        shown = [
            f"{key} {value:.3f}" if isinstance(value, float) else f"{key} {value}"
            for key, value in row.items()
            if key != "ids"
        ]
        print(f"{name:34}{', '.join(shown)}")
    for name, value in figures.items():
        print(f"{name:34}{value:.3f}")
    print(
        json.dumps(
            {
                "benchmark": "tokenizer",
                "input": given,
                "versions": {name: version(name) for name in ("tokenizers", "fastokens")},
                "rows": [{"name": name, **row} for name, row in rows.items()],
                "bars": bars(figures),
            }
        )
    )


if __name__ == "__main__":
    main()
