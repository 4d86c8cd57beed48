"""A tokenizer as llama.cpp keeps it in a GGUF file.

llama.cpp does not read the expression by which texts are split before merging; it has a list of
them, each under a name. A tokenizer whose split has no name there would be read as another one,
and is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import TokenType

from llm.errors import ExpectedError
from llm.tokens.bpe import SPLITS
from llm.tokens.special_tokens import END_OF_TEXT, PAD, TURN_END

# Names of llama.cpp's splits by the expression. "llama-bpe", which splits as "dbrx" does, would
# also take a word that is a token as it is, whatever the merges.
_PRE_TOKENIZERS = {SPLITS["single"]: "qwen2", SPLITS["triple"]: "dbrx"}
# What its BPE does not do; the values with which a tokenizer does not do it either.
_PLAIN_BPE = {
    "type": "BPE",
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}


class UnknownTokenizerError(ExpectedError, ValueError):
    """llama.cpp has no tokenizer that would give the same tokens; names what it lacks."""


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF file says of a tokenizer.

    Attributes:
        pre_tokenizer: llama.cpp's name of the split.
        tokens: in the byte-level alphabet, special ones as they are written; by id.
        types: `TokenType` of each.
        merges: in order, the two parts with a space between them.
        bos, eos, eot, pad: ids. There is no token for the beginning of text; where llama.cpp wants
            the id of one, it is that of the end of text, which stands before every document but
            the first of a training row. `eot` ends a turn.
        add_bos: whether a text is given to the model with `bos` in front.
    """

    pre_tokenizer: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    bos: int
    eos: int
    eot: int
    pad: int
    add_bos: bool


def read_vocabulary(folder: Path, size: int) -> Vocabulary:
    """The vocabulary of a model folder.

    Args:
        size: rows of the model's embedding; those that no token has are written as unused.

    Raises:
        UnknownTokenizerError: llama.cpp would split or merge otherwise.
    """
    path = folder / "tokenizer.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    pre_tokenizer = _pre_tokenizer(record, path)
    written = {index: token for token, index in record["model"]["vocab"].items()}
    kinds = dict.fromkeys(written, TokenType.NORMAL)
    for token in record["added_tokens"]:
        written[token["id"]] = token["content"]
        kinds[token["id"]] = TokenType.CONTROL if token["special"] else TokenType.USER_DEFINED
    if max(written) >= size:
        raise UnknownTokenizerError(
            f"{path} has a token {max(written)}, and the model {size} rows; take the tokenizer the "
            "model was trained with"
        )
    ids = {token: index for index, token in written.items()}
    missing = [token for token in (END_OF_TEXT, TURN_END, PAD) if token not in ids]
    eos = config.get("eos_token")
    if missing or eos not in ids:
        raise UnknownTokenizerError(
            f"{path} has no token {', '.join(missing) or repr(eos)}; a tokenizer of the tokenizer "
            "stage has it"
        )
    bos = config.get("bos_token")
    return Vocabulary(
        pre_tokenizer,
        tuple(written.get(index, f"[PAD{index}]") for index in range(size)),
        tuple(int(kinds.get(index, TokenType.UNUSED)) for index in range(size)),
        tuple(_merge(pair) for pair in record["model"]["merges"]),
        bos=ids[bos] if bos in ids else ids[END_OF_TEXT],
        eos=ids[eos],
        eot=ids[TURN_END],
        pad=ids[PAD],
        add_bos=bool(config.get("add_bos_token")),
    )


def _pre_tokenizer(record: Mapping[str, Any], path: Path) -> str:
    """llama.cpp's name of the split."""
    pattern, found = _split_pattern(record["pre_tokenizer"]), record["model"]
    if pattern not in _PRE_TOKENIZERS:
        shown = json.dumps(record["pre_tokenizer"], ensure_ascii=False)
        raise UnknownTokenizerError(
            f"{path} splits texts in a way that llama.cpp has no name for ({shown[:200]}); a model "
            "goes into a GGUF file with a tokenizer of the tokenizer stage, whose split is that of "
            "Qwen2 or Llama 3 (tokenizer.digits). Train with one, or set export.gguf "
            "to []"
        )
    other = {key: found.get(key) for key, plain in _PLAIN_BPE.items() if found.get(key) != plain}
    if record["normalizer"] is not None:
        other["normalizer"] = record["normalizer"]["type"]
    if other:
        raise UnknownTokenizerError(
            f"{path} has settings that llama.cpp does not follow: {other}; a tokenizer of the "
            "tokenizer stage has none of them. Train with one, or set export.gguf to []"
        )
    return _PRE_TOKENIZERS[pattern]


def _split_pattern(pre_tokenizer: Mapping[str, Any] | None) -> str:
    """The expression of a split by one expression, whose pieces are then written as bytes."""
    match pre_tokenizer:
        case {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": str(pattern)},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        }:
            return pattern
    return ""


def _merge(pair: str | list[str]) -> str:
    """Tokenizers of other versions write a merge as one text."""
    return pair if isinstance(pair, str) else " ".join(pair)
