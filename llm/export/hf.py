"""A model folder as something to hand on: the same files, and a card that says what they are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from llm.model.config_file import architecture
from llm.tokens.special_tokens import SPECIAL_TOKENS

CARD = "README.md"

_LOAD = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
model = AutoModelForCausalLM.from_pretrained("path/to/this/folder")
{use}
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=100)[0]))
```"""
_CHAT = """turns = [{"role": "user", "content": "..."}]
inputs = tokenizer.apply_chat_template(
    turns, add_generation_prompt=True, return_dict=True, return_tensors="pt"
)"""
_TEXT = """# A special token that the text spells out is text.
inputs = tokenizer("...", split_special_tokens=True, return_tensors="pt")"""
_TYPED = (
    "`apply_chat_template` takes a special token that a message spells out ({specials}) for the "
    "token: it would end the turn. Take them out of what others write."
)


def copy_folder(model: Path, target: Path) -> list[str]:
    """Copy every file of a model folder, whose format is the exported one; returns their names."""
    target.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in model.iterdir() if path.is_file())
    for name in names:
        shutil.copyfile(model / name, target / name)
    return names


def write_card(folder: Path, name: str, chat: bool, figures: Mapping[str, str | int]) -> None:
    """Write the model card beside the files.

    Args:
        chat: the model takes turns; else it goes on with a text.
        figures: what else there is to know, by name: where it comes from, tokens seen.
    """
    a = architecture(folder)
    known: dict[str, str | int] = {
        "architecture": "Qwen3ForCausalLM" if a.qk_norm else "LlamaForCausalLM",
        "parameters": a.parameters,
        "layers": a.layers,
        "hidden size": a.hidden_size,
        "query heads": a.heads,
        "key/value heads": a.key_value_heads,
        "head size": a.head_dim,
        "context, tokens": a.context,
        "vocabulary, tokens": a.vocabulary_size,
        "output matrix": "the embedding" if a.tied else "of its own",
        **figures,
    }
    rows = "\n".join(f"| {key} | {_format_value(value)} |" for key, value in known.items())
    kind = "takes turns in its chat template" if chat else "is a base model: it goes on with a text"
    lines = [
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\n---",
        f"# {name}",
        f"This model {kind}. Weights are float32; no code of its own is needed to load it.",
        f"| | |\n|---|---|\n{rows}",
        "## Loading",
        _LOAD.format(use=_CHAT if chat else _TEXT),
    ]
    if chat:
        named = ", ".join(f"`{token}`" for token in SPECIAL_TOKENS)
        lines.append(_TYPED.format(specials=named))
    (folder / CARD).write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def _format_value(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else value.replace("|", "\\|")
