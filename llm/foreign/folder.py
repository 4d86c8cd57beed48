"""What a model folder says of its model, whosever architecture it is."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

from llm.model.config_file import architecture, is_ours
from llm.model.folder import Ends
from llm.model.weight_files import INDEX, weight_files


def context_in(folder: Path) -> int:
    """Longest sequence, in tokens, that the model in a folder is meant for.

    Raises:
        ModelFolderError: config.json cannot be read, or describes no model.
    """
    if is_ours(folder):
        return architecture(folder).context
    from transformers import AutoConfig

    from llm.foreign.model import context_of

    return context_of(AutoConfig.from_pretrained(str(folder), local_files_only=True))


def ends_in(folder: Path) -> Ends:
    """Where a model that takes turns by a folder's template stops.

    Raises:
        PadTokenError: padding is the end of a turn.
    """
    from llm.tokens.chat import ChatEncoder

    chat = ChatEncoder(folder)
    return Ends(chat.turn_end, chat.end, chat.stops, chat.pad)


def shape_in(folder: Path) -> dict[str, str | int]:
    """What is known of the model in a folder, by name, without its weights being read.

    Raises:
        ModelFolderError: there are none.
    """
    from safetensors import safe_open

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    count = 0
    for path in weight_files(folder):
        if path.name == INDEX:
            continue
        with safe_open(path, framework="np") as file:
            count += sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return {
        "architecture": str(config["architectures"][0]),
        "parameters": count,
        "context, tokens": context_in(folder),
        "vocabulary, tokens": int(config["vocab_size"]),
    }
