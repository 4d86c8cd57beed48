"""Tokens a second in generation: Ingot against transformers' generate and llama.cpp.

    python benchmarks/generate.py

All continue the same prompts greedily by the same numbers of tokens, from the same weights, with
the same number of threads, in turns. transformers takes the faster of its caches (dynamic, static).
`batch 16, mixed` is prompts and answers of unequal lengths: transformers pads the prompts and goes
on until the longest answer is made; only tokens that were asked for are counted. llama.cpp reads
the GGUF file that Ingot writes of the model, one request at a time, and says its own seconds.
Time to read the prompt is in all figures. Prompts are shortened to what a model's context leaves
room for.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import transformers

from benchmarks.models import transformers_model
from benchmarks.quickstart import SHAPE
from llm.model.architecture import Architecture
from llm.model.batching import Ask, Batch
from llm.model.folder import save
from llm.model.inference import Inference
from llm.model.initialisation import initialise
from llm.model.sampling import GREEDY
from llm.model.transformer import Transformer
from llm.tokens.bpe import BpeSettings, train
from llm.tokens.hf_folder import write_folder
from llm.tokens.special_tokens import END_OF_TEXT
from llm.training.planner.sizes import PRESETS

# Between the quickstart's million and the presets, at the size where weights leave the caches.
SEVEN_MILLION = replace(
    SHAPE, hidden_size=256, intermediate_size=704, layers=6, head_dim=128, context=512
)
BARS = {
    "speed_vs_transformers": 3.0,
    "speed_vs_transformers_124m": 1.5,
    "batch16_vs_transformers": 5.0,
    "speed_vs_llamacpp": 1.0,
}
_PLACES = 16


@dataclass(frozen=True)
class Task:
    """Prompts, and how many tokens each is continued by."""

    name: str
    prompts: tuple[tuple[int, ...], ...]
    new_tokens: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return sum(self.new_tokens)


Generate = Callable[[Task], None]


def tasks(a: Architecture, prompt_lengths: list[int], new_tokens: int, mixed: bool) -> list[Task]:
    """One row a prompt length, and, if `mixed`, 16 of unequal lengths."""
    draw = random.Random(0)

    def prompt(length: int) -> tuple[int, ...]:
        return tuple(draw.randrange(256, a.vocabulary_size) for _ in range(length))

    found = [
        Task(f"batch 1, prompt {length}", (prompt(length),), (new_tokens,))
        for length in prompt_lengths
    ]
    if mixed:
        longest = max(prompt_lengths)
        lengths = [draw.randint(8, longest) for _ in range(_PLACES)]
        answers = [draw.randint(new_tokens // 8, new_tokens * 2) for _ in range(_PLACES)]
        rows = tuple(prompt(length) for length in lengths)
        found.append(Task("batch 16, mixed", rows, tuple(answers)))
    return found


def ours(model: Transformer, weights: Any) -> Generate:
    """Ingot's rows in a batch whose places are given on."""
    context = model.architecture.context
    laid_out = {places: Inference(model, places, context, None, weights) for places in (1, _PLACES)}

    def run(task: Task) -> None:
        batch = Batch(laid_out[min(len(task.prompts), _PLACES)])
        for prompt, new in zip(task.prompts, task.new_tokens, strict=True):
            batch.add(Ask(prompt, new, frozenset(), GREEDY))
        made = 0
        while batch.running or batch.waiting:
            made += sum(one.token is not None for one in batch.step())
        assert made == task.tokens

    return run


def theirs(model: Transformer, dtype: torch.dtype, cache: str) -> Generate:
    """transformers' generate; shorter prompts are padded on the left."""
    other = transformers_model(model).to(dtype).eval()

    def run(task: Task) -> None:
        longest, new = max(map(len, task.prompts)), max(task.new_tokens)
        rows = [[0] * (longest - len(prompt)) + list(prompt) for prompt in task.prompts]
        seen = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in task.prompts]
        made = other.generate(
            torch.tensor(rows),
            attention_mask=torch.tensor(seen),
            max_new_tokens=new,
            min_new_tokens=new,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            cache_implementation=cache,
            disable_compile=True,
        )
        assert made.shape[1] == longest + new

    return run


def llamacpp(file: Path, context: int, threads: int) -> Generate:
    """llama.cpp's completion of one prompt, as its server does it."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.n_ctx = context
    parameters.n_parallel = 1
    parameters.port = 0
    parameters.verbosity = 1
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(parameters)

    def run(task: Task) -> None:
        for prompt, new in zip(task.prompts, task.new_tokens, strict=True):
            body = {"prompt": list(prompt), "n_predict": new, "temperature": 0.0}
            reply = server.handle_completions(
                {**body, "ignore_eos": True, "cache_prompt": False, "stream": False}
            )
            reply = json.loads(reply) if isinstance(reply, str | bytes) else reply
            assert reply["usage"]["completion_tokens"] == new, reply

    return run


def gguf_files(model: Transformer, folder: Path) -> dict[str, Path]:
    """The model as llama.cpp reads it; a vocabulary of Python's own sources is padded to its."""
    from llm.export.gguf import write_gguf
    from llm.export.run_file import About, GgufType

    about = About("benchmark", "", "", (), (), ())
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    sources = sorted(Path(argparse.__file__).parent.glob("*.py"))
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sources]
    size = min(model.architecture.vocabulary_size, 4096)
    write_folder(train(texts, BpeSettings(size, 2, 16, "single")), tokenizer, END_OF_TEXT)
    save(model, folder / "model", tokenizer, END_OF_TEXT)
    files = {}
    kinds: tuple[GgufType, ...] = ("f16", "q8_0")
    for kind in kinds:
        files[kind] = folder / f"{kind}.gguf"
        write_gguf(folder / "model", files[kind], kind, about)
    return files


def measured(
    variants: dict[str, Generate], each: list[Task], rounds: int
) -> list[dict[str, object]]:
    """Tokens a second of each variant at each task, in turns."""
    rows: list[dict[str, object]] = []
    for task in each:
        seconds: dict[str, list[float]] = {name: [] for name in variants}
        for number in range(rounds + 1):
            for name in list(variants)[:: 1 if number % 2 else -1]:
                if len(task.prompts) > 1 and name.startswith("llama.cpp"):
                    continue
                began = time.perf_counter()
                variants[name](task)
                if number:  # the first round warms up
                    seconds[name].append(time.perf_counter() - began)
        rows += [
            {
                "name": name,
                "task": task.name,
                "tokens_per_second": round(task.tokens / statistics.median(taken), 1),
                "slowest": round(task.tokens / max(taken), 1),
                "fastest": round(task.tokens / min(taken), 1),
            }
            for name, taken in seconds.items()
            if taken
        ]
    return rows


def best(rows: list[dict[str, object]], prefix: str, task: str, model: str) -> float:
    """The rate of the fastest variant at the tasks of that name: their geometric mean."""
    by_task: dict[str, float] = {}
    for row in rows:
        at = str(row["task"])
        if row["model"] == model and at.startswith(task) and str(row["name"]).startswith(prefix):
            by_task[at] = max(by_task.get(at, 0.0), float(str(row["tokens_per_second"])))
    return statistics.geometric_mean(by_task.values()) if by_task else 0.0


def bars(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Ingot in float32 against the best of transformers in float32, and against llama.cpp's F16."""
    asked = {
        "speed_vs_transformers": ("transformers fp32", "batch 1,", "quickstart"),
        "speed_vs_transformers_124m": ("transformers fp32", "batch 1,", "124M"),
        "batch16_vs_transformers": ("transformers fp32", "batch 16", "quickstart"),
        "speed_vs_llamacpp": ("llama.cpp f16", "batch 1,", "quickstart"),
    }
    found: list[dict[str, object]] = []
    for name, (peer, task, model) in asked.items():
        mine, other = best(rows, "ingot fp32", task, model), best(rows, peer, task, model)
        if mine and other:
            value = round(mine / other, 3)
            bar = {"name": name, "value": value, "target": BARS[name]}
            found.append({**bar, "holds": value >= BARS[name]})
    return found


def main() -> None:
    """Run, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["quickstart", "7M", "124M"])
    parser.add_argument("--prompts", nargs="+", type=int, default=[64, 384], help="tokens")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3, help="measured turns of each variant")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU, of everybody")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16", "int8"])
    parser.add_argument("--no-llamacpp", action="store_true", help="transformers alone")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows: list[dict[str, object]] = []
    for name in args.models:
        shape = {"quickstart": SHAPE, "7M": SEVEN_MILLION}.get(name)
        shape = shape or replace(PRESETS[name], context=1024)
        model = Transformer(shape)
        initialise(model, 1)
        model.eval()
        with tempfile.TemporaryDirectory() as folder:
            variants: dict[str, Generate] = {}
            for precision in args.precisions:
                dtype = torch.float32 if precision == "fp32" else torch.bfloat16
                kept = "plain" if precision == "fp32" else precision
                variants[f"ingot {precision}"] = ours(model, kept)
                if precision != "int8":
                    for cache in ("dynamic", "static"):
                        peer = theirs(model, dtype, cache)
                        variants[f"transformers {precision} {cache}"] = peer
            if not args.no_llamacpp:
                for kind, file in gguf_files(model, Path(folder)).items():
                    variants[f"llama.cpp {kind}"] = llamacpp(file, shape.context, args.threads)
            room = shape.context - 2 * args.new_tokens
            prompts = sorted({min(length, room) for length in args.prompts})
            each = tasks(shape, prompts, args.new_tokens, mixed=name != "124M")
            rows += [{"model": name, **row} for row in measured(variants, each, args.rounds)]
    for row in rows:
        figures = [f"{row[key]:>9,}" for key in ("tokens_per_second", "slowest", "fastest")]
        print(f"{row['model']:11} {row['task']:22} {row['name']:26} {' '.join(figures)}")
    reached = bars(rows)
    for bar in reached:
        verdict = "holds" if bar["holds"] else "does not hold"
        print(f"{bar['name']}: {bar['value']} (bar {bar['target']}: {verdict})")
    record = {
        "benchmark": "generate",
        "input": {"threads": args.threads, "new_tokens": args.new_tokens, "rounds": args.rounds},
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "rows": rows,
        "bars": reached,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
