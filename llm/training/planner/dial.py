"""One number in, a whole run out: its shape, data, rates, memory, hours and cost.

Any one of three decides: parameters, tokens (a twentieth of them are the parameters), or hours on
a device (the largest model that is trained as long as is best for it in that time).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from llm.errors import ExpectedError
from llm.model.architecture import Architecture
from llm.training.memory_estimate import Memory, estimate
from llm.training.planner import rules, sizes
from llm.training.planner.rates import Rate

_STEPS_OF_SEARCH = 60


class BudgetError(ExpectedError, ValueError):
    """Hours that are too few for what is asked, or questions that contradict each other."""


@dataclass(frozen=True)
class Question:
    """What a person says.

    Attributes:
        size: preset or parameters, as text; empty = open.
        tokens: 0 = open.
        seconds: of training; 0 = open.
        devices: that share the work.
        vocabulary_size, context: of the recipe; 0 = those of the size.
        optimiser: "adamw" or "muon".
        device_bytes: memory of a device; 0 = not known.
        price: of a device and hour; 0 = not known.
        one_machine: the device is a machine, not one of several in it.
    """

    size: str
    tokens: int
    seconds: float
    devices: int
    vocabulary_size: int
    context: int
    optimiser: str
    device_bytes: int
    price: float
    one_machine: bool


@dataclass(frozen=True)
class Plan:
    """What comes of it.

    Attributes:
        name: of the size.
        nominal: parameters the rules were asked with.
        memory: of one process with `devices` shares, of bf16 or fp32 as the rate is.
        micro_batch_rows: sequences that fit at once; 0 = memory is not known.
        flops: of the whole run; `flops_per_second`: of all devices.
        notes: what a person should know.
    """

    name: str
    nominal: int
    architecture: Architecture
    tokens: int
    batch_tokens: int
    learning_rate: float
    steps: int
    memory: Memory
    micro_batch_rows: int
    flops: float
    flops_per_second: float
    seconds: float
    device_hours: float
    cost: float
    notes: tuple[str, ...]


def check(size: str, tokens: int, seconds: float) -> None:
    """Make sure that what is said means one run.

    Raises:
        SizeError: no preset reaches it.
        BudgetError: too much is said, or nothing.
    """
    if not (size or tokens or seconds):
        raise BudgetError("say one of --params, --tokens and --budget")
    if tokens and seconds:
        raise BudgetError("--tokens and --budget: the rest follows from either; leave one out")
    if size:
        sizes.find(size)


def plan(question: Question, rate: Rate) -> Plan:
    """The run that a question means on a device of this rate.

    Raises:
        SizeError: no preset reaches it.
        BudgetError: the time does not suffice for a step, or too much is said.
    """
    q = question
    check(q.size, q.tokens, q.seconds)
    if q.size:
        size = sizes.find(q.size)
    elif q.tokens:
        size = sizes.of_parameters(max(_least(), rules.parameters_for(q.tokens)))
    else:
        size = _size_for(q, rate)
    tokens = q.tokens or rules.tokens(size.parameters)
    if q.seconds and (q.size or _seconds(q, size, tokens, rate) > q.seconds):
        tokens = int(q.seconds / _seconds(q, size, 1, rate))
    return _planned(q, size, tokens, rate)


def _least() -> int:
    return math.ceil(sizes.SMALLEST / 1.05)


def _architecture(q: Question, size: sizes.Size) -> Architecture:
    a = size.architecture
    return size.with_tokenizer(q.vocabulary_size or a.vocabulary_size, q.context or a.context)


def _seconds(q: Question, size: sizes.Size, tokens: int, rate: Rate) -> float:
    a = _architecture(q, size)
    speed = q.devices * rate.flops_per_second(a.parameters)
    return tokens * a.flops_per_token(a.context) / speed


def _size_for(q: Question, rate: Rate) -> sizes.Size:
    """The largest size for which the time there is suffices; else the smallest."""
    low, high = math.log(_least()), math.log(sizes.LARGEST)
    for _ in range(_STEPS_OF_SEARCH):
        middle = (low + high) / 2
        size = sizes.of_parameters(round(math.exp(middle)))
        fits = _seconds(q, size, rules.tokens(size.parameters), rate) <= q.seconds
        low, high = (middle, high) if fits else (low, middle)
    # To three digits, downwards: a number that people can say.
    digits = 10 ** max(0, int(low / math.log(10)) - 2)
    return sizes.of_parameters(max(_least(), int(math.exp(low)) // digits * digits))


def _planned(q: Question, size: sizes.Size, tokens: int, rate: Rate) -> Plan:
    a = _architecture(q, size)
    batch = rules.batch_tokens(size.parameters, a.context)
    notes = []
    if tokens < batch:
        # With what the recipe says instead, a step is one sequence at least.
        if tokens < a.context:
            raise BudgetError(_too_little(q, size, a, rate))
        batch = a.context
        notes.append("there are too few tokens for a batch that suits this size")
    if q.devices > batch // a.context:
        notes.append(
            f"a batch has {batch // a.context:,} sequences: of {q.devices:,} devices the others "
            "would idle, and the time is longer than said"
        )
    elif q.devices > 1:
        notes.append("what devices lose to each other is not reckoned with")
    steps = max(1, round(tokens / batch))
    suited = rules.tokens(size.parameters)
    if tokens < 0.9 * suited:
        smaller = size.parameters > 1.2 * sizes.SMALLEST
        notes.append(
            f"{tokens / suited:.2g} of the tokens that suit this size"
            + (": a smaller model would do better with them" if smaller else "")
        )
    memory = estimate(a, rate.precision, q.optimiser, shares=q.devices)
    rows = 0
    if q.device_bytes:
        rows = max(0, int(0.9 * q.device_bytes) - memory.states) // memory.row
        if not rows:
            notes.append(_what_would_fit(q, a, rate))
    seconds = _seconds(q, size, tokens, rate)
    hours = seconds / 3600 * q.devices
    return Plan(
        name=size.name,
        nominal=size.parameters,
        architecture=a,
        tokens=tokens,
        batch_tokens=batch,
        learning_rate=rules.learning_rate(size.parameters),
        steps=steps,
        memory=memory,
        micro_batch_rows=min(rows, -(-batch // (a.context * q.devices))) if rows else 0,
        flops=tokens * a.flops_per_token(a.context),
        flops_per_second=q.devices * rate.flops_per_second(a.parameters),
        seconds=seconds,
        device_hours=hours,
        cost=hours * q.price,
        notes=tuple(notes),
    )


def _what_would_fit(q: Question, a: Architecture, rate: Rate) -> str:
    room = int(0.9 * q.device_bytes)
    whole = estimate(a, rate.precision, q.optimiser, "full")
    said = (
        f"does not fit into {q.device_bytes / 1e9:,.0f} GB: one sequence needs "
        f"{estimate(a, rate.precision, q.optimiser, shares=q.devices).least / 1e9:,.0f} GB"
    )
    if estimate(a, rate.precision, q.optimiser, "full", q.devices).least <= room:
        return f"{said}; pretrain.activation_checkpointing=full would fit"
    left = room - whole.row
    if left <= 0:
        return f"{said}; not even one sequence does: take a smaller size or a shorter context"
    if q.one_machine:
        return f"{said}; take a smaller size, or a machine with more memory"
    needed = -(-whole.states // left)
    return f"{said}; {needed} such devices with parallel=fsdp and full recomputation would do"


def _too_little(q: Question, size: sizes.Size, a: Architecture, rate: Rate) -> str:
    of = f"one step of {size.name} ({a.parameters / 1e6:,.1f} M parameters)"
    if q.tokens:
        return f"{q.tokens:,} tokens are no sequence of {a.context:,}; take more, or a --recipe"
    return (
        f"{q.seconds:,.3g} s do not suffice for {of} at {rate.device}'s rate; take more time or a "
        "smaller size"
    )
