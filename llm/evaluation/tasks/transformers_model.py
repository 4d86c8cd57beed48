"""A model of any folder that transformers loads, as a `Subject`: what ours are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm.errors import ExpectedError
from llm.evaluation.tasks.subject import Prompt, cut
from llm.model.scoring import Scorer

# Where configs say how much a model reads at once.
_CONTEXTS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")
_UNKNOWN_CONTEXT = 2048


class OtherModelError(ExpectedError, ValueError):
    """A folder is no model that transformers loads; names it."""


class TransformersModel:
    """A `Subject`, computed by transformers in float32.

    Raises:
        OtherModelError: transformers cannot load the folder, or its tokenizer has no token that
            ends a text.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM, AutoTokenizer

        broken = (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
            model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
        except (*broken, SafetensorError) as error:
            raise OtherModelError(
                f"{folder} is no model that transformers loads: {error}; give the folder that "
                "save_pretrained wrote"
            ) from error
        self._model = model.to(device).eval()
        if self._tokenizer.eos_token_id is None:
            raise OtherModelError(f"{folder}: its tokenizer names no eos_token; set one")
        self.scorer: Scorer = _WholeModel(self._model)
        self.device = device
        sizes = (getattr(self._model.config, name, None) for name in _CONTEXTS)
        self.context: int = next((size for size in sizes if size), _UNKNOWN_CONTEXT)
        self.end: int = self._tokenizer.eos_token_id
        begin = self._tokenizer.bos_token_id
        self.prefix: int = self.end if begin is None else begin

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text)
        return ids

    def encode_bare(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    @property
    def answers_users(self) -> bool:
        """Whether its tokenizer has a chat template for what a user says first."""
        return bool(self._tokenizer.chat_template) and bool(self.turn("Hello"))

    def turn(self, text: str) -> list[int]:
        """What a user says, in its chat template, up to where the answer begins; empty where the
        template refuses it, or makes nothing of it."""
        try:
            said: str = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
            )
        except Exception:  # noqa: BLE001 - a program of others, which raises what it likes
            return []
        return self.encode_bare(said)

    def continue_(self, prompts: Sequence[Prompt]) -> list[str]:
        """One at a time: beside longer prompts a shorter one would be padded."""
        return [self._continue(prompt) for prompt in prompts]

    @torch.inference_mode()
    def _continue(self, prompt: Prompt) -> str:
        ids = torch.tensor([list(prompt.ids)], device=self.device)
        ends: dict[str, Any] = {}
        if prompt.until:
            ends = {"stop_strings": list(prompt.until), "tokenizer": self._tokenizer}
        made = self._model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=prompt.max_new_tokens,
            do_sample=False,
            pad_token_id=self.end,
            **ends,
        )
        said: str = self._tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
        return cut(said, prompt.until)


class _WholeModel:
    """A `Scorer` whose first half is all of it: some models change logits behind their head."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def hidden(self, tokens: Tensor) -> Tensor:
        """int64 (B, T) -> logits (B, T, V)."""
        logits: Tensor = self._model(tokens, use_cache=False).logits
        return logits

    @staticmethod
    def lm_head(logits: Tensor) -> Tensor:
        """Logits as they are."""
        return logits
