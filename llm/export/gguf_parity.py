"""Proof that a GGUF file is the model: llama.cpp on the file against our own code on the folder.

| check | compared | allowed |
|---|---|---|
| tokenizer | token ids that differ | none |
| chat_template | characters that differ from ChatML written by hand, and ids of both | none |
| greedy | tokens of the greedy continuation that differ, up to a tie | none, of floats |
| logprob | largest difference of log-probabilities, over the largest logit | of floats, below |
| ties | continuations in which a tie was met | any |
| top1_agreement | share of tokens after which the most probable one is the same | any |
| bits_per_byte, bits_per_byte_ours | of the scored rows | any |

llama.cpp multiplies a matrix of f16 with activations it has rounded to f16 as well, and one of
bf16 likewise, so that the last digits differ although the file is right. What is allowed is
`tolerance` for f32, and eight units in the last place for the others; two tokens whose logits are
no further apart are a tie. Quantised files are measured: how much they lose is no fault.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from llm.export.gguf import is_float
from llm.export.gguf_parity_table import Measure
from llm.export.isolated import ask
from llm.export.probes import CHATS, HARD_TEXTS, TEXTS, chatml
from llm.export.stops import stop_ids
from llm.model.folder import load
from llm.model.generation import generate
from llm.model.transformer import Transformer
from llm.tokens.special_tokens import TURN_START
from llm.tokens.token_bytes import token_byte_lengths

_LLAMACPP = Path(__file__).resolve().with_name("llamacpp.py")
_UNITS = 8.0  # in the last place of a number of the type; three times what was ever measured
_UNIT = {"f32": 0.0, "f16": 2.0**-11, "bf16": 2.0**-8}
# Parameters below which a token takes one thread less time than several need to meet: llama.cpp's
# wait busily for each other, and six times as long where the machine has other work.
_SMALL = 30_000_000


@dataclass(frozen=True)
class Ours:
    """What our code makes of the folder, once for all files.

    Attributes:
        names, prompts: texts and their tokens.
        rooms, continued: most tokens of a greedy continuation, and those it has.
        rows: of tokens to be scored, each no longer than the context.
        logprobs, best: of each token of the rows but the first (nats), and the most probable one.
        bytes: of the text of those tokens.
        largest: logit over all rows, absolute.
    """

    folder: Path
    model: Transformer
    names: tuple[str, ...]
    prompts: tuple[tuple[int, ...], ...]
    rooms: tuple[int, ...]
    continued: tuple[tuple[int, ...], ...]
    rows: tuple[tuple[int, ...], ...]
    logprobs: NDArray[np.float64]
    best: NDArray[np.int64]
    bytes: int
    largest: float


def llamacpp_installed() -> bool:
    """Whether there is a llama.cpp to compare with; xllamacpp is an extra."""
    return importlib.util.find_spec("xllamacpp") is not None


def compute_ours(
    folder: Path, prompts: Sequence[str], new_tokens: int, rows: Sequence[Sequence[int]]
) -> Ours:
    """Our side of the comparison.

    Args:
        prompts: those that leave no room for a continuation are left out.
        rows: tokens to score; none = those of the probes and the prompts.
    """
    model = load(folder)
    tokenizer = _text_tokenizer(folder)
    context = model.architecture.context
    ids = {prompt: _ids(tokenizer, prompt) for prompt in prompts}
    # llama.cpp wants room for a token more than it answers with.
    fitting = {prompt: row for prompt, row in ids.items() if 0 < len(row) < context - 1}
    rooms = [min(new_tokens, context - 1 - len(row)) for row in fitting.values()]
    made = generate(model, list(fitting.values()), new_tokens, stop_ids(folder))
    given = [row for row in rows if len(row) > 1]
    texts = given or [_ids(tokenizer, text) for text in (*prompts, *TEXTS)]
    kept = tuple(tuple(row[:context]) for row in texts if len(row) > 1)
    scored = [_score(model, row) for row in kept]
    lengths = token_byte_lengths(folder / "tokenizer.json")
    return Ours(
        folder,
        model,
        tuple(fitting),
        tuple(tuple(row) for row in fitting.values()),
        tuple(rooms),
        tuple(tuple(ids[:room]) for ids, room in zip(made, rooms, strict=True)),
        kept,
        np.concatenate([logprobs for logprobs, _, _ in scored]),
        np.concatenate([best for _, best, _ in scored]),
        sum(int(lengths[list(row[1:])].sum()) for row in kept),
        max(largest for _, _, largest in scored),
    )


def compare_gguf(
    file: Path, kind: str, ours: Ours, tolerance: float, threads: int, scratch: Path
) -> list[Measure]:
    """Every figure of a file, within its limit or not.

    Raises:
        UnusableExportError: llama.cpp cannot load the file; carries what it said.
    """
    tokenizer, framed = _text_tokenizer(ours.folder), _framed_tokenizer(ours.folder)
    texts = [*TEXTS, *HARD_TEXTS, *ours.names]
    chats = [chat[:-1] for chat in CHATS]
    question = {
        "file": str(file),
        "context": ours.model.architecture.context,
        "threads": 1 if ours.model.architecture.parameters < _SMALL else threads,
        "texts": texts,
        "chats": chats,
        "prompts": [
            {"ids": row, "new_tokens": room}
            for row, room in zip(ours.prompts, ours.rooms, strict=True)
        ],
        "rows": ours.rows,
        "end": stop_ids(ours.folder)[0],
        "vocabulary": ours.model.architecture.vocabulary_size,
    }
    reply = ask(_LLAMACPP, question, scratch, f"llama.cpp cannot use {file}")
    found = [
        Measure(kind, "tokenizer", text, _differing(_ids(tokenizer, text), theirs), 0.0)
        for text, theirs in zip(texts, reply["ids"], strict=True)
    ]
    for chat, text, theirs in zip(chats, reply["chats"], reply["chat_ids"], strict=True):
        wanted = f"{chatml(chat)}{TURN_START}assistant\n"
        difference = _differing(wanted, text) + _differing(_ids(framed, wanted), theirs)
        found.append(Measure(kind, "chat_template", wanted, difference, 0.0))
    limit = max(tolerance, _UNITS * _UNIT[kind]) if is_float(kind) else None
    ties = 0
    for number, made in enumerate(reply["continued"]):
        tied, differing = _compare_greedy(ours, number, made, limit or 0.0)
        ties += tied
        allowed = None if limit is None else 0.0
        found.append(Measure(kind, "greedy", ours.names[number], differing, allowed))
    return [*found, *_measure_rows(kind, ours, reply, limit, ties)]


def _measure_rows(
    kind: str, ours: Ours, reply: dict[str, list[list[float]]], limit: float | None, ties: int
) -> list[Measure]:
    """The figures over all scored tokens."""
    logprobs = np.concatenate([np.array(row, dtype=np.float64) for row in reply["logprobs"]])
    best = np.concatenate([np.array(row, dtype=np.int64) for row in reply["best"]])
    apart = float(np.abs(logprobs - ours.logprobs).max() / ours.largest)
    of = f"{len(best)} tokens"
    return [
        Measure(kind, "ties", f"{len(ours.prompts)} prompts", ties, None),
        Measure(kind, "logprob", of, apart, limit),
        Measure(kind, "top1_agreement", of, float((best == ours.best).mean()), None),
        Measure(kind, "bits_per_byte", of, _bits_per_byte(logprobs, ours.bytes), None),
        Measure(kind, "bits_per_byte_ours", of, _bits_per_byte(ours.logprobs, ours.bytes), None),
    ]


def _compare_greedy(ours: Ours, number: int, made: Sequence[int], tie: float) -> tuple[bool, int]:
    """Whether two continuations part at a tie, and how many tokens differ up to there."""
    stops = stop_ids(ours.folder)
    wanted = ours.continued[number]
    theirs = list(itertools.takewhile(lambda token: token not in stops, made))
    place = next(
        (i for i, (a, b) in enumerate(zip(wanted, theirs, strict=False)) if a != b),
        min(len(wanted), len(theirs)),
    )
    if place == len(wanted) == len(theirs):
        return False, 0
    logits = _logits(ours.model, [*ours.prompts[number], *wanted[:place]])[-1]
    # The one that ended earlier chose a token that ends it.
    choices = [logits[theirs[place]]] if place < len(theirs) else [logits[stop] for stop in stops]
    if float(logits.max() - max(choices)) <= tie * ours.largest:
        return True, 0
    return False, _differing(wanted, theirs)


def _score(
    model: Transformer, row: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
    """Log-probability of each token but the first, the most probable one, the largest logit."""
    logits = _logits(model, row[:-1])
    chosen = torch.tensor(row[1:])[:, None]
    logprobs = logits.log_softmax(-1).gather(1, chosen)[:, 0]
    return logprobs.numpy(), logits.argmax(-1).numpy(), float(logits.abs().max())


@torch.inference_mode()
def _logits(model: Transformer, ids: Sequence[int]) -> torch.Tensor:
    """float64 (tokens, vocabulary)."""
    logits: torch.Tensor = model(torch.tensor([list(ids)]))[0].double()
    return logits


def _bits_per_byte(logprobs: NDArray[np.float64], size: int) -> float:
    return float(-logprobs.sum() / math.log(2) / size)


def _framed_tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def _text_tokenizer(folder: Path) -> Tokenizer:
    """One to which a special token that is spelled out is text: see llm/tokens/chat.py."""
    tokenizer = _framed_tokenizer(folder)
    tokenizer.encode_special_tokens = True
    return tokenizer


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def _differing(ours: Sequence[object], theirs: Sequence[object]) -> int:
    """Places that differ, one for each of the longer's surplus."""
    return sum(a != b for a, b in itertools.zip_longest(ours, theirs, fillvalue=None))
