"""`ingot size`: what a run will take, before it is paid for."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.options import AsJson
from llm.training.planner import dial, rules, sizes
from llm.training.planner.rates import MEMORY_GB, Rate
from tasks.durations import DurationError, seconds_of


def size(
    params: Annotated[
        str, typer.Option(help=f"Size of the model: 200M, or {', '.join(sizes.PRESETS)}.")
    ] = "",
    tokens: Annotated[str, typer.Option(help="Training tokens: 3B.")] = "",
    budget: Annotated[str, typer.Option(help="Time to train in: 90m, 8h, 2d.")] = "",
    device: Annotated[
        str, typer.Option(help="Device: auto, cpu, cuda, mps of this machine, or h200.")
    ] = "auto",
    devices: Annotated[int, typer.Option(help="Devices that share the work.", min=1)] = 1,
    price: Annotated[float, typer.Option(help="Price of a device and hour.", min=0.0)] = 0.0,
    recipe: Annotated[
        str,
        typer.Option("--recipe", "-r", help="Take vocabulary, context and optimiser of a recipe."),
    ] = "",
    teraflops: Annotated[
        float,
        typer.Option(help="TFLOP/s a device reaches in training, in place of a measured rate."),
    ] = 0.0,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure this machine's rate again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a model of some size takes: shape, tokens, rates, memory, hours, cost."""
    from tasks import device_rate  # what other commands have no use for

    if not (0 <= teraflops < float("inf") and price < float("inf")):  # NaN is neither
        raise dial.BudgetError("--teraflops and --price are numbers from 0 on")
    vocabulary, context, optimiser = _of_recipe(recipe)
    seconds = _seconds(budget) if budget else 0.0
    count = sizes.parse_count(tokens) if tokens else 0
    if measure and not (params or count or seconds):
        found = device_rate.find(device, "auto", again=True, tell=_tell)
        print(json.dumps(asdict(found.rate), indent=1) if as_json else _shown(found.rate))
        return
    dial.check(params, count, seconds)  # before anything is measured
    if teraflops:
        rate = Rate(device, "bf16", ((1, teraflops * 1e12),), "--teraflops")
        memory, one_machine = round(MEMORY_GB.get(device.lower(), 0.0) * 1e9), device == "cpu"
    else:
        found = device_rate.find(device, "auto", measure, _tell)
        rate, memory, one_machine = found.rate, found.bytes, found.one_machine
    question = dial.Question(
        size=params,
        tokens=count,
        seconds=seconds,
        devices=devices,
        vocabulary_size=vocabulary,
        context=context,
        optimiser=optimiser,
        device_bytes=memory,
        price=price,
        one_machine=one_machine,
    )
    plan = dial.plan(question, rate)
    if as_json:
        record: dict[str, Any] = {
            **asdict(plan),
            "parameters": plan.architecture.parameters,
            "device": rate.device,
            "rate_source": rate.source,
        }
        print(json.dumps(record, indent=1))
        return
    _show(plan, question, rate)


def _seconds(budget: str) -> float:
    try:
        return seconds_of(budget)
    except DurationError as error:
        raise dial.BudgetError(f"--budget: {error}") from error


def _tell(message: str) -> None:
    print(message, file=sys.stderr)


def _of_recipe(recipe: str) -> tuple[int, int, str]:
    from tasks.recipe import load
    from tasks.stages.pretrain_config import PretrainConfig

    if not recipe:
        return 0, 0, str(PretrainConfig.model_fields["optimiser"].default)
    configs = load(recipe).configs
    found: dict[str, Any] = {
        field: getattr(configs[stage], field, None) if stage in configs else None
        for stage, field in (
            ("tokenizer", "vocabulary_size"),
            ("pack", "sequence_length"),
            ("pretrain", "optimiser"),
        )
    }
    return (
        found["vocabulary_size"] or 0,
        found["sequence_length"] or 0,
        found["optimiser"] or str(PretrainConfig.model_fields["optimiser"].default),
    )


def _shown(rate: Rate) -> str:
    lines = [f"{size / 1e6:,.1f} M: {flops / 1e12:,.3g} TFLOP/s" for size, flops in rate.points]
    return "\n".join([f"{rate.device}, {rate.precision}, {rate.source}", *lines])


def _show(plan: dial.Plan, q: dial.Question, rate: Rate) -> None:
    a, memory = plan.architecture, plan.memory
    made = "a preset" if plan.name in sizes.PRESETS else "between presets by the logarithm"
    rows = [
        ("parameters", f"{a.parameters / 1e6:,.1f} M", f"of {plan.name}"),
        ("width, blocks", f"{a.hidden_size:,}, {a.layers}", made),
        (
            "heads",
            f"{a.heads} of {a.head_dim}, {a.key_value_heads} of keys and values",
            "GQA (Ainslie et al. 2023)" if a.key_value_heads < a.heads else "",
        ),
        ("MLP", f"{a.intermediate_size:,}", "8/3 of the width (Shazeer 2020)"),
        ("vocabulary", f"{a.vocabulary_size:,}", "tied" if a.tied else "untied"),
        ("context", f"{a.context:,} tokens", ""),
        (
            "tokens",
            f"{plan.tokens:,}",
            f"of {plan.nominal / 1e6:,.1f} M: {rules.TOKENS_SOURCE}"
            if plan.tokens == rules.tokens(plan.nominal)
            else ("as asked for" if q.tokens else "what the time suffices for"),
        ),
        ("batch", f"{plan.batch_tokens:,} tokens", rules.BATCH_SOURCE),
        ("learning rate", f"{plan.learning_rate:g}", rules.RATE_SOURCE),
        ("steps", f"{plan.steps:,}", "tokens / batch"),
        (
            "memory",
            f"{memory.states / 1e9:,.2f} GB + {memory.row / 1e9:,.3f} GB a sequence",
            "float32 weights, gradients, moments; activations of a block by its widths",
        ),
        (
            "operations",
            f"{plan.flops:.3g} FLOP",
            "(6 N + 12 L H d T) a token (Chowdhery et al. 2022)",
        ),
        (
            "rate",
            f"{plan.flops_per_second / 1e12:,.3g} TFLOP/s",
            f"{q.devices} x {rate.device}, {rate.source}",
        ),
        ("time", _time(plan.seconds), "operations / rate"),
        (
            "cost",
            f"{plan.cost:,.2f}" if q.price else f"{plan.device_hours:,.2f} device hours",
            f"{plan.device_hours:,.2f} device hours x {q.price:g}"
            if q.price
            else "--price says what one costs",
        ),
    ]
    if plan.micro_batch_rows:
        rows.insert(
            11, ("micro-batch", f"{plan.micro_batch_rows} of them", "what memory has room for")
        )
    table = Table("", "", "from", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    for note in plan.notes:
        print(f"note: {note}")
    print("\n".join(["\nin a recipe:\n", *_fields(plan, q)]))


def _fields(plan: dial.Plan, q: dial.Question) -> list[str]:
    """Lines of a recipe that mean the plan."""
    a = plan.architecture
    found = []
    if not q.vocabulary_size:
        found.append(f"tokenizer: {{vocabulary_size: {a.vocabulary_size}}}")
    if not q.context:
        found.append(f"pack: {{sequence_length: {a.context}}}")
    name = plan.name if plan.name in sizes.PRESETS else sizes.count_text(plan.nominal)
    found += ["pretrain:", f"  size: {name}"]
    if plan.tokens != rules.tokens(plan.nominal):
        found.append(f"  tokens: {plan.tokens}")
    if plan.batch_tokens != rules.batch_tokens(plan.nominal, a.context):
        found.append(f"  batch_tokens: {plan.batch_tokens}")
    if q.devices > 1:
        found += [f"  processes: {q.devices}", "  parallel: fsdp"]
    return found


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:,.0f} min"
    return f"{seconds / 3600:,.1f} h" if seconds < 172_800 else f"{seconds / 86_400:,.1f} days"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(size)
