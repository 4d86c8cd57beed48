"""Tiny models of other programs: Llama, Qwen2 and GPT-2 with random weights, as
`save_pretrained` writes them, each with the tokenizer and chat template of its kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer

from tests.llm.tokens.small_tokenizer import small_tokenizer

KINDS = ("llama", "qwen2", "gpt2")
CONTEXT = 128
# As Llama 3's: a text is trimmed, and a token of its own opens every conversation.
LLAMA = (
    "{{- bos_token -}}"
    "{%- for message in messages -%}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' -}}"
    "{{- message['content'] | trim + '<|eot_id|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}{%- endif -%}"
)
# As Qwen2.5's: who says nothing of the system is told what it is; no `{% generation %}`.
QWEN = (
    "{%- if messages[0]['role'] != 'system' -%}"
    "{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' -}}{%- endif -%}"
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
_PAGE = Path(__file__).parents[2] / "docs" / "stages" / "sft.md"
# For a model without a template, whose only special token is the end of a text.
PLAIN = _PAGE.read_text(encoding="utf-8").partition("```jinja\n")[2].partition("```")[0]
_SPECIALS: dict[str, dict[str, str]] = {
    "llama": {
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|eot_id|>",
        "others": "<|end_of_text|> <|start_header_id|> <|end_header_id|>",
    },
    # Padding is the end of a text, as in all of Qwen2.5.
    "qwen2": {
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "others": "<|im_start|>",
    },
    "gpt2": {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "others": ""},
}
_TEMPLATES = {"llama": LLAMA, "qwen2": QWEN, "gpt2": None}


def foreign_folder(kind: str, folder: Path, seed: int = 0, **changes: Any) -> Path:
    """Write a folder; `changes` are fields of the model's config."""
    tokenizer = foreign_tokenizer(kind)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    model = _model(kind, tokenizer, changes)
    model.save_pretrained(folder)
    return folder


def foreign_tokenizer(kind: str) -> Any:
    """transformers' tokenizer of a kind."""
    from transformers import PreTrainedTokenizerFast

    told = dict(_SPECIALS[kind])
    names = dict.fromkeys([*told.pop("others").split(), *told.values()])
    # The vocabulary without Ingot's special tokens, and theirs behind it.
    record = json.loads(small_tokenizer().to_str())
    ours = {token["content"]: token["id"] for token in record["added_tokens"]}
    record["added_tokens"] = []
    vocabulary = [t for t, _ in sorted(record["model"]["vocab"].items(), key=lambda item: item[1])]
    kept = [token for token in vocabulary if token not in ours]
    record["model"]["vocab"] = {token: at for at, token in enumerate(kept)}
    plain = Tokenizer.from_str(json.dumps(record))
    plain.add_special_tokens([AddedToken(name, special=True) for name in names])
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, chat_template=_TEMPLATES[kind], model_max_length=CONTEXT, **told
    )


def _model(kind: str, tokenizer: Any, changes: dict[str, Any]) -> Any:
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    ends = {
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if kind == "gpt2":
        sizes: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": CONTEXT}
        return GPT2LMHeadModel(GPT2Config(**(sizes | ends | changes)))
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": CONTEXT,
        # As large models are saved; what they are tuned in is float32.
        "tie_word_embeddings": kind == "qwen2",
    }
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**(sizes | ends | changes)))
    return Qwen2ForCausalLM(Qwen2Config(**(sizes | ends | changes)))
