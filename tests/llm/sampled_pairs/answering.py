"""A tiny model that answers in one of two ways and ends, and runs that make pairs of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llm.alignment.examples.tables import INSTRUCTIONS
from tests.llm.alignment.tiny_run import model_folder, reward_part, run_to_the_end

PROMPTS = 24


def turns(prompt: str, answer: str) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": prompt, "supervised": False},
        {"role": "assistant", "content": answer, "supervised": True},
    ]


def questions(path: Path, prompts: int = PROMPTS, times: int = 1) -> Path:
    """Instructions whose answers say please, or do not; each prompt so many times."""
    rows = [
        {
            "doc_id": f"{number:032x}",
            "source": "asked",
            "split": "validation" if number % 4 == 0 else "train",
            "parent_doc_ids": [f"page {number}"],
            "messages": turns(
                f"Ask {number // times}.", "please wait" if number % 2 else "return now"
            ),
        }
        for number in range(prompts)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=INSTRUCTIONS), path)
    return path


def answering_model(folder: Path) -> Path:
    """Tuned on both answers to every prompt until it ends them; which it gives is chance."""
    base = model_folder(folder)
    rows = questions(folder / "learned.parquet", 2 * PROMPTS, times=2)
    run_to_the_end(
        "sft", folder / "sft", (base, rows), epochs=16, batch_size=8, schedule="constant"
    )
    return folder / "sft" / "out"


def record(folder: Path, model: Path, examples: Path, **changes: Any) -> dict[str, Any]:
    return {
        "model": str(model),
        "examples": [str(examples)],
        "max_prompts": 0,
        "samples": 6,
        "new_tokens": 12,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_length": 96,
        "min_gap": 0.0,
        "rewards": [reward_part("pattern", expression="please")],
        "reward_model": "",
        "judge": judge_part(),
        "seed": 0,
        "score_tokens": 512,
        "device": "cpu",
        "threads": 1,
        "replies": str(folder / "replies"),
        "results": str(folder / "results"),
        "scratch": str(folder / "scratch"),
        "execution": ["score_tokens", "device", "threads"],
        **changes,
    }


def judge_part(**changes: Any) -> dict[str, Any]:
    return {
        "weight": 0.0,
        "criterion": "helpfulness",
        "base_url": "http://127.0.0.1:9/v1",
        "model": "stand-in",
        "max_reply_tokens": 100,
        "temperature": 0.0,
        "key_variable": "",
        "timeout": 5.0,
        "tries": 1,
        "first_wait": 0.01,
        "longest_retry_after": 1.0,
        "concurrency": 2,
        "max_calls": 0,
        **changes,
    }
