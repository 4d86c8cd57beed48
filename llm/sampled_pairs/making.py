"""Preferences out of a model's own answers: drawn, rewarded, the best set against the worst."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import xxhash

from llm.alignment.data import Limit, Rows, prompt_rows
from llm.alignment.examples.tables import (
    PREFERENCE,
    PREFERENCES,
    Example,
    Message,
    preference_table,
)
from llm.alignment.reporter import Reporter
from llm.alignment.rewards.journal import named_parts
from llm.alignment.rewards.weighted import WeightedReward, weighted_reward
from llm.errors import ExpectedError
from llm.foreign.folder import context_in
from llm.foreign.model import open_model
from llm.model.config_file import check_tokenizer
from llm.sampled_pairs.choosing import Chosen, best_and_worst
from llm.sampled_pairs.drawing import Drawing, Sampled, sampled
from llm.sampled_pairs.grades import grades
from llm.sampled_pairs.run_file import Run, draw_digest
from llm.tables import REJECTED, REMOVED, SAMPLED_ANSWERS, SPLITS
from llm.tokens.chat import ChatEncoder
from llm.training.devices import CUDA_OR_CPU, find

SOURCE = "pairs"  # of the preferences made
_JUDGE = "judge"


class NoPairsError(ExpectedError, ValueError):
    """No prompt gave two answers of which one is better; says why."""


@dataclass(frozen=True)
class Asked:
    """The prompts that are answered.

    Attributes:
        rows: of PROMPT_ROWS; used ones are answered.
        instructions: by doc_id, with messages and parent_doc_ids.
    """

    rows: Rows
    instructions: dict[str, Mapping[str, Any]]


def make(run: Run, key: str, reporter: Reporter) -> None:
    """Write preferences.parquet, samples.parquet, removed.parquet, rejected.parquet and counts.json
    into the folder of results.

    Raises:
        NoPairsError, NonFiniteRewardError, RewardSettingError
        TokenizerMismatchError, RewardModelError: of the reward model.
        Those of `llm.sampled_pairs.grades`, and `llm.alignment.data`.
    """
    if run.threads:
        torch.set_num_threads(run.threads)
    device = find(run.device, CUDA_OR_CPU)
    start = Path(run.model)
    check_tokenizer(start, start)
    chat = ChatEncoder(start)
    asked = _asked(run, chat, run.max_length or context_in(start))
    prompts = asked.rows.used.to_pylist()
    reporter.log(f"{len(prompts)} prompts, {run.samples} answers to each")
    reward = None
    if run.rewards:
        judge = Path(run.reward_model) if run.reward_model else None
        reward = weighted_reward(run.rewards, start, judge, device, run.score_tokens)
    answers = _answers(run, chat, prompts, reward, device, reporter)
    graded = _graded(run, key, asked, prompts, answers, reporter) if run.asks_a_judge else None
    made = [
        best_and_worst(some, None if graded is None else graded[at], run.min_gap)
        for at, some in enumerate(answers)
    ]
    _write(run, asked, prompts, answers, graded, made)


def _asked(run: Run, chat: ChatEncoder, limit: int) -> Asked:
    tables = [pq.read_table(path) for path in run.examples]
    found = prompt_rows(tables, chat, Limit(limit, cut=False), run.new_tokens)
    removed: list[dict[str, Any]] = []
    used = _first_of_equals(found.used, removed)
    used = _capped(used, run.max_prompts, run.seed, removed)
    columns = ["doc_id", "parent_doc_ids", "messages"]
    kept = set(used.column("doc_id").to_pylist())
    instructions = {
        row["doc_id"]: row
        for table in tables
        for row in table.select(columns).to_pylist()
        if row["doc_id"] in kept
    }
    out = pa.concat_tables([found.removed, pa.Table.from_pylist(removed, schema=REMOVED)])
    return Asked(Rows(used, out, found.rejected), instructions)


def _first_of_equals(table: pa.Table, removed: list[dict[str, Any]]) -> pa.Table:
    """One of the prompts that are the same tokens: its answers would be those of the others."""
    first: dict[tuple[int, ...], str] = {}
    keep = []
    rows = table.select(["doc_id", "prompt_tokens"]).to_pylist()
    for row in rows:
        before = first.setdefault(tuple(row["prompt_tokens"]), row["doc_id"])
        keep.append(before == row["doc_id"])
        if not keep[-1]:
            removed.append(_removal(row["doc_id"], "repeated_prompt", None, None, f"of {before}"))
    return table.filter(pa.array(keep, pa.bool_()))


def _capped(table: pa.Table, most: int, seed: int, removed: list[dict[str, Any]]) -> pa.Table:
    if not most or table.num_rows <= most:
        return table
    ids = table.column("doc_id").to_pylist()
    order = sorted(ids, key=lambda one: xxhash.xxh3_64_intdigest(f"{seed}:pairs:{one}".encode()))
    kept = set(order[:most])
    detail = f"{len(ids)} prompts, the first {most} by hash stay"
    removed += [_removal(one, "cap", len(ids), most, detail) for one in ids if one not in kept]
    return table.filter(pa.array([one in kept for one in ids], pa.bool_()))


def _removal(
    doc_id: str, reason: str, value: float | None, threshold: float | None, detail: str
) -> dict[str, Any]:
    return {
        "doc_id": doc_id,
        "reason": reason,
        "value": value,
        "threshold": threshold,
        "detail": detail,
    }


def _answers(
    run: Run,
    chat: ChatEncoder,
    prompts: Sequence[Mapping[str, Any]],
    reward: WeightedReward | None,
    device: torch.device,
    reporter: Reporter,
) -> list[list[Sampled]]:
    """The answers to each prompt."""
    model = open_model(Path(run.model)).to(device).eval()
    how = Drawing(run.samples, run.new_tokens, run.temperature, run.top_p, run.seed)
    folder = run.scratch / f"units-{draw_digest(run)[:16]}"
    reporter.begin(len(prompts), 0, "prompt")
    found: dict[str, list[Sampled]] = {row["doc_id"]: [] for row in prompts}
    with torch.no_grad():
        for unit in sampled(model, chat, prompts, how, reward, folder, reporter.step):
            for one in unit:
                found[one.doc_id].append(one)
    return list(found.values())


def _graded(
    run: Run,
    key: str,
    asked: Asked,
    prompts: Sequence[Mapping[str, Any]],
    answers: Sequence[Sequence[Sampled]],
    reporter: Reporter,
) -> list[dict[int, float]]:
    """Grades times their weight."""
    turns = [asked.instructions[row["doc_id"]]["messages"][:-1] for row in prompts]
    reporter.begin(sum(map(len, answers)), 0, "grade")
    found = grades(
        turns,
        answers,
        run.judge,
        key,
        run.replies,
        reporter.log,
        lambda done, total: reporter.step(done),
    )
    return [{at: run.judge.weight * grade for at, grade in some.items()} for some in found]


def _write(
    run: Run,
    asked: Asked,
    prompts: Sequence[Mapping[str, Any]],
    answers: Sequence[Sequence[Sampled]],
    graded: Sequence[Mapping[int, float]] | None,
    made: Sequence[Chosen],
) -> None:
    pairs: list[Example] = []
    samples: list[dict[str, Any]] = []
    rejected = asked.rows.rejected.to_pylist()
    for at, (row, some, chosen) in enumerate(zip(prompts, answers, made, strict=True)):
        given = None if graded is None else graded[at]
        samples += _sample_rows(run, row, some, given, chosen)
        if chosen.best is None or chosen.worst is None:
            rejected.append(
                {"doc_id": row["doc_id"], "reason": chosen.reason, "detail": chosen.detail}
            )
            continue
        source = asked.instructions[row["doc_id"]]
        turns = tuple(Message(one["role"], one["content"]) for one in source["messages"][:-1])
        said = (some[place].answer for place in (chosen.best, chosen.worst))
        answered = tuple((Message("assistant", text),) for text in said)
        parents = tuple(source["parent_doc_ids"])
        pairs.append(
            Example(PREFERENCE, SOURCE, row["split"], parents, (turns, *answered), row["doc_id"])
        )
    tables = {
        "preferences": preference_table(pairs) if pairs else PREFERENCES.empty_table(),
        "samples": pa.Table.from_pylist(samples, schema=SAMPLED_ANSWERS),
        "removed": asked.rows.removed,
        "rejected": pa.Table.from_pylist(rejected, schema=REJECTED),
    }
    if not pairs:
        reasons = dict(Counter(row["reason"] for row in rejected))
        raise NoPairsError(
            f"no prompt of {len(prompts)} gave a pair: rejected {reasons}, removed "
            f"{Rows.reasons(tables['removed'])}. Raise samples, temperature or new_tokens, take "
            "rewards that tell answers apart, or give more prompts"
        )
    run.results.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, run.results / f"{name}.parquet")
    counts = {
        "pairs": len(pairs),
        "removed": Rows.reasons(tables["removed"]),
        "rejected": Rows.reasons(tables["rejected"]),
        "figures": figures(tables["samples"]),
    }
    text = json.dumps(counts, indent=1, allow_nan=False)
    (run.results / "counts.json").write_text(text, encoding="utf-8")


def _sample_rows(
    run: Run,
    row: Mapping[str, Any],
    answers: Sequence[Sampled],
    given: Mapping[int, float] | None,
    chosen: Chosen,
) -> list[dict[str, Any]]:
    roles = {chosen.best: "chosen", chosen.worst: "rejected"}
    rows = []
    for place, one in enumerate(answers):
        grade = None if given is None else given.get(place)
        parts, reward = list(one.parts), one.reward if given is None else None
        if grade is not None:
            parts += named_parts([_JUDGE], np.array([grade / run.judge.weight]))
            reward = one.reward + grade
        rows.append(
            {
                "doc_id": row["doc_id"],
                "split": row["split"],
                "sample": one.sample,
                "answer": one.answer,
                "tokens": one.tokens,
                "finished": one.finished,
                "reward": reward,
                "parts": parts,
                "role": roles.get(place, ""),
            }
        )
    return rows


def figures(samples: pa.Table) -> list[dict[str, Any]]:
    """By split and role ("chosen", "rejected" or "all"): how many answers, their mean reward and
    mean length in tokens; and of the pairs how often the chosen answer is the longer one."""
    split, role, tokens = (
        np.array(samples.column(name).to_pylist()) for name in ("split", "role", "tokens")
    )
    reward = samples.column("reward").to_numpy(zero_copy_only=False).astype(np.float64)
    found = []
    for name in SPLITS:
        lengths = {
            kind: tokens[(split == name) & (role == kind)] for kind in ("chosen", "rejected")
        }
        longer = None
        if len(lengths["chosen"]):
            # A prompt's answers stand together, so that those of a pair are in one order.
            longer = float((lengths["chosen"] > lengths["rejected"]).mean())
        for kind in ("chosen", "rejected", "all"):
            rows = (split == name) & ((role == kind) | (kind == "all"))
            known = rows & np.isfinite(reward)
            if rows.any():
                found.append(
                    {
                        "split": name,
                        "role": kind,
                        "answers": int(rows.sum()),
                        "reward": float(reward[known].mean()) if known.any() else None,
                        "tokens": float(tokens[rows].mean()),
                        "longer": longer if kind == "chosen" else None,
                    }
                )
    return found
