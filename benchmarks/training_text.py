"""What benchmarks of optimisation train on: a text packed on the spot, or the rows of a stage."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llm.sha256 import sha256_file
from llm.tokens import token_file
from llm.tokens.bpe import BpeSettings, train
from llm.tokens.hf_folder import load_tokenizer, special_id, write_folder
from llm.tokens.special_tokens import END_OF_TEXT
from llm.tokens.token_file import TokenFile

_VALIDATION = 0.1  # of the text: its end
_PIECE = 20_000  # characters given to the tokenizer at once
_LARGEST = 20_000_000  # characters that are used


@dataclass(frozen=True)
class TrainingText:
    """Rows of tokens, as files that several processes map.

    Attributes:
        tokens: folder of a token file.
        tokenizer: folder of the tokenizer they were made with.
    """

    tokens: str
    tokenizer: str

    def open(self) -> TokenFile:
        return TokenFile.open(Path(self.tokens))


def from_text(path: Path, vocabulary_size: int, length: int, folder: Path) -> TrainingText:
    """A text file (.txt, or .jsonl with a field `text`; either as .gz): a BPE is trained on its
    first nine tenths, which are trained on; the rest is validated on."""
    text = _read(path)[:_LARGEST]
    cut = int(len(text) * (1 - _VALIDATION))
    splits = {"train": text[:cut], "validation": text[cut:]}
    places = {
        split: [part[at : at + _PIECE] for at in range(0, len(part), _PIECE)]
        for split, part in splits.items()
    }
    tokenizer = train(places["train"], BpeSettings(vocabulary_size, 2, 16, "single"))
    home = folder / "tokenizer"
    home.mkdir(parents=True)
    write_folder(tokenizer, home, END_OF_TEXT)
    end = special_id(tokenizer, END_OF_TEXT)
    rows = []
    for split, pieces in places.items():
        ids = [end]
        for encoded in tokenizer.encode_batch(pieces, add_special_tokens=False):
            ids += encoded.ids
        for at in range(0, len(ids) - length, length + 1):
            row = ids[at : at + length + 1]
            rows.append({"split": split, "tokens": row, "doc_lengths": [len(row)]})
    kinds = [("tokens", pa.list_(pa.int32())), ("doc_lengths", pa.list_(pa.int32()))]
    part = folder / "part.parquet"
    pq.write_table(
        pa.Table.from_pylist(rows, schema=pa.schema([("split", pa.string()), *kinds])), part
    )
    made = token_file.build([part], folder, sha256_file(part), tokenizer.get_vocab_size())
    return TrainingText(str(made.folder), str(home))


def from_sequences(sequences: Path, tokenizer: Path, folder: Path) -> TrainingText:
    """The rows of `pack.sequences`, with the folder of their tokenizer."""
    parts = sorted(sequences.glob("*.parquet"))
    if not parts:
        raise SystemExit(f"{sequences} holds no Parquet files; give the folder of pack.sequences")
    size = load_tokenizer(tokenizer).get_vocab_size()
    made = token_file.build(parts, folder, sha256_file(parts[0]), size)
    return TrainingText(str(made.folder), str(tokenizer))


def _read(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content, path = gzip.decompress(content), path.with_suffix("")
    text = content.decode("utf-8")
    if path.suffix != ".jsonl":
        return text
    return "\n\n".join(json.loads(line)["text"] for line in text.split("\n") if line)
