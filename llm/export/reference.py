"""What transformers alone makes of an exported folder. A script: `python -I reference.py ask.json`.

It runs without the project: importing one of its packages fails. `ask.json` names the folder,
texts to tokenise, conversations to render, prompts to continue; the answer goes to `reply.json`
and `logits.npz` beside it. It ends with whoever holds its standard input.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any


def _without_the_project() -> None:
    """An installed checkout is importable wherever Python runs; make such an import fail."""
    for package in ("llm", "tasks", "flows", "deployments"):
        sys.modules[package] = None  # type: ignore[assignment]


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def answer(ask: dict[str, Any], folder: Path) -> None:
    """Load the exported folder, and write down what it gives."""
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if ask["threads"]:
        torch.set_num_threads(ask["threads"])
    tokenizer = AutoTokenizer.from_pretrained(ask["folder"], local_files_only=True)

    def ids_of(text: str, frame: bool) -> Any:
        """Special tokens in a text are characters, in a rendered conversation they are tokens."""
        encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=not frame)
        return encoded["input_ids"]

    model = AutoModelForCausalLM.from_pretrained(
        ask["folder"], local_files_only=True, dtype=torch.float32
    ).eval()
    logits, continued = {}, []
    for number, prompt in enumerate(ask["prompts"]):
        ids = torch.tensor([ids_of(prompt["text"], frame=False)])
        seen = torch.ones_like(ids)
        with torch.inference_mode():
            logits[f"prompt{number}"] = model(ids, attention_mask=seen).logits[0].numpy()
            made = model.generate(
                ids,
                attention_mask=seen,
                do_sample=False,
                repetition_penalty=1.0,  # as some folders ask for another one
                max_new_tokens=prompt["new_tokens"],
            )
        continued.append(made[0, ids.shape[1] :].tolist())
    np.savez(folder / "logits.npz", **logits)
    chats = [tokenizer.apply_chat_template(chat, tokenize=False) for chat in ask["chats"]]
    reply = {
        "class": type(model).__name__,
        "ids": [ids_of(text, frame=False) for text in ask["texts"]],
        "chats": chats,
        "chat_ids": [ids_of(chat, frame=True) for chat in chats],
        "continued": continued,
    }
    (folder / "reply.json").write_text(json.dumps(reply), encoding="utf-8")


if __name__ == "__main__":
    _without_the_project()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    path = Path(sys.argv[1])
    answer(json.loads(path.read_text(encoding="utf-8")), path.parent)
