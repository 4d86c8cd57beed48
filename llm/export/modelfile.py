"""The file from which Ollama makes a model of a GGUF file.

Ollama does not read the chat template in the file: it has templates of Go, and what it guesses of
an unknown one is none.
"""

from __future__ import annotations

import json
from pathlib import Path

from llm.model.config_file import architecture
from llm.tokens.special_tokens import END_OF_TEXT, TURN_END, TURN_START

MODELFILE = "Modelfile"

# ChatML as `llm/tokens/chat_template.py` renders it. An answer that the conversation ends with is
# one to be continued, so its turn is left open.
_CHAT = (
    "{{- range $i, $_ := .Messages }}"
    "{{- $last := eq (len (slice $.Messages $i)) 1 }}"
    f"{TURN_START}{{{{ .Role }}}}\n"
    "{{ .Content }}"
    '{{- if not (and $last (eq .Role "assistant")) }}'
    f"{TURN_END}\n"
    "{{ end }}"
    '{{- if and $last (ne .Role "assistant") }}'
    f"{TURN_START}assistant\n"
    "{{ end }}"
    "{{- end }}"
)
_BASE = "{{ .Prompt }}"


def write_modelfile(folder: Path, gguf: Path) -> Path:
    """Write `Modelfile` beside a GGUF file; `ollama create NAME -f Modelfile` reads it.

    Args:
        folder: of the model, whose end of generation says whether it takes turns.
    """
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    template = _CHAT if config["eos_token"] == TURN_END else _BASE
    lines = [
        f"FROM ./{gguf.name}",
        f'TEMPLATE """{template}"""',
        *(f'PARAMETER stop "{token}"' for token in (TURN_END, END_OF_TEXT)),
        f"PARAMETER num_ctx {architecture(folder).context}",
    ]
    path = gguf.with_name(MODELFILE)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
