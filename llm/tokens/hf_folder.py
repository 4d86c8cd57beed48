"""A tokenizer as the folder that transformers loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.errors import ExpectedError
from llm.tokens.chat_template import CHAT_TEMPLATE
from llm.tokens.special_tokens import PAD, SPECIAL_TOKENS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
)


class MissingSpecialTokenError(ExpectedError, ValueError):
    """A tokenizer lacks a special token, or has it as an ordinary one."""


def write_folder(tokenizer: Tokenizer, folder: Path, eos_token: str) -> None:
    """Write the four files of a tokenizer into an existing folder.

    There is no token for the beginning of text. The class is named as transformers 4 and 5 both
    know it: what `save_pretrained` of transformers 5 writes, older readers do not load.

    Args:
        eos_token: ends a text of the base model (`END_OF_TEXT`), a turn of a chat model
            (`TURN_END`).

    Raises:
        MissingSpecialTokenError: the tokenizer lacks a special token.
    """
    added = {
        str(special_id(tokenizer, token)): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for token in SPECIAL_TOKENS
    }
    config: dict[str, Any] = {
        "add_bos_token": False,
        "add_eos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": eos_token,
        "extra_special_tokens": {},
        "pad_token": PAD,
        "padding_side": "right",
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": None,
    }
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    _write_json(folder / "tokenizer_config.json", config)
    _write_json(folder / "special_tokens_map.json", {"eos_token": eos_token, "pad_token": PAD})


def set_eos_token(folder: Path, eos_token: str) -> None:
    """Change which token ends generation, in the two files that say so; the ids stay."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = folder / name
        record = json.loads(path.read_text(encoding="utf-8"))
        _write_json(path, {**record, "eos_token": eos_token})


def special_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a special token.

    Raises:
        MissingSpecialTokenError: the tokenizer does not have it, or not as a special token.
    """
    found: int | None = tokenizer.token_to_id(token)
    added = tokenizer.get_added_tokens_decoder()
    if found is None or found not in added or not added[found].special:
        raise MissingSpecialTokenError(
            f"the tokenizer has no special token {token!r}; build it with the tokenizer stage, "
            f"which gives it {', '.join(SPECIAL_TOKENS)}"
        )
    return found


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a folder."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def _write_json(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
