"""Whether a step on this device is the step that float32 on a CPU does.

Tolerances: float32 rounds at 6e-8, sums over some thousand terms lose two digits; bfloat16 rounds
at 4e-3.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import models
from llm.model.architecture import Architecture
from llm.model.generation import generate
from llm.model.transformer import Transformer
from llm.tokens.random_rows import random_rows
from llm.training import devices
from llm.training.checkpoints import Position
from llm.training.distributed import group
from llm.training.memory import free_bytes
from llm.training.micro_batch import MicroBatch
from llm.training.planner.constant_rate import constant_rate
from llm.training.run_file import Execution, Optimisation, Paths, Run, Tasks
from llm.training.saver import Saver
from llm.training.step import Stepper

A = Architecture(
    vocabulary_size=1000,
    hidden_size=128,
    intermediate_size=384,
    layers=3,
    heads=4,
    key_value_heads=2,
    head_dim=32,
    context=256,
    rope_theta=10_000.0,
    norm_eps=1e-6,
    qk_norm=True,
    tied=True,
)
ROWS, DOCUMENTS = 8, 4
CPU = torch.device("cpu")


def _settings(precision: str, mask: bool = False, optimiser: str = "adamw") -> Optimisation:
    # A step that must not move the weights before their gradients are read.
    return replace(constant_rate(ROWS, precision, optimiser, mask), clip=0.0, z_loss=1e-4)


def _gradient(step: Stepper, number: int = 0) -> tuple[float, Tensor]:
    """Loss and gradient of a step, on the CPU."""
    held: list[Tensor] = []

    def hold(*_: object) -> None:
        parts = [p.grad.flatten() for p in step.model.parameters() if p.grad is not None]
        held.append(torch.cat(parts).cpu().float())

    hook = step.optimisers[-1].register_step_pre_hook(hold)
    rows = np.arange(number * ROWS, (number + 1) * ROWS)
    loss = step(number, rows).read().loss
    hook.remove()
    return loss, held[0]


def _relative_distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


def _tokens(documents: int = DOCUMENTS) -> Any:
    return random_rows(A.vocabulary_size, A.context, 12 * ROWS, documents)


def gradients(device: torch.device, cache: Path) -> dict[str, Any]:
    """Relative error of loss and gradient, by precision, mask and compilation."""
    found: dict[str, Any] = {}
    for mask in (False, True):
        reference = models.stepper(A, _tokens(), _settings("fp32", mask), CPU, None)
        loss, gradient = _gradient(reference)
        for precision in ("fp32", "bf16"):
            for folder in (None, cache):
                step = models.stepper(A, _tokens(), _settings(precision, mask), device, folder)
                got, moved = _gradient(step)
                name = f"{precision}{' masked' if mask else ''}{' compiled' if folder else ''}"
                errors = {
                    "loss": abs(got - loss) / loss,
                    "gradient": _relative_distance(moved, gradient),
                }
                tolerance = {"fp32": 1e-5, "bf16": 2e-2}[precision]
                holds = errors["loss"] < tolerance and errors["gradient"] < 10 * tolerance
                found[name] = {**{k: float(f"{v:.3g}") for k, v in errors.items()}, "holds": holds}
    return found


def _weights(step: Stepper) -> Tensor:
    return _of(step.model)


def _of(model: Transformer) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).cpu()


def _steps(step: Stepper, numbers: range) -> None:
    for number in numbers:
        step(number, np.arange(number * ROWS, (number + 1) * ROWS))


def resume(device: torch.device, cache: Path | None, optimiser: str) -> dict[str, Any]:
    """Six steps in one go, twice, and three, a checkpoint, and three in a new trainer."""
    precision = devices.precision_on(device, "auto")
    settings = _settings(precision, optimiser=optimiser)
    whole = []
    for _ in range(2):
        step = models.stepper(A, _tokens(), settings, device, cache)
        _steps(step, range(6))
        whole.append(_weights(step))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        step = models.stepper(A, _tokens(), settings, device, cache)
        _steps(step, range(3))
        _save(step, folder, 3)
        again = models.stepper(A, _tokens(), settings, device, cache)
        assert _saver(again, folder).restore() is not None
        _steps(again, range(3, 6))
    repeated, resumed = (
        _relative_distance(whole[1], whole[0]),
        _relative_distance(_weights(again), whole[0]),
    )
    return {
        "two_runs_apart": repeated,
        "resumed_apart": resumed,
        "holds": resumed <= 3 * repeated,
    }


def _save(step: Stepper, folder: Path, done: int) -> None:
    saver = _saver(step, folder)
    saver.save(Position(done, []))
    saver.finish()


def _saver(step: Stepper, folder: Path) -> Saver:
    held = (step.model, step.optimisers, step.strategy.processes)
    return Saver(folder, {}, 1, *held, print)


def sharded(device: torch.device, cache: Path | None, optimiser: str) -> dict[str, Any]:
    """Four steps of a model that is shared out, by a group of one process, with a checkpoint in
    between that one without a group goes on from, are those of a model that is not."""
    from llm.training.fsdp import Fsdp

    settings = _settings(devices.precision_on(device, "auto"), optimiser=optimiser)
    whole = models.stepper(A, _tokens(), settings, device, cache)
    _steps(whole, range(4))
    with group(device, 60.0, grouped=True) as processes:
        strategy = Fsdp(device, processes, 1, settings.precision)
        step = models.stepper(A, _tokens(), settings, device, cache, strategy=strategy)
        _steps(step, range(2))
        with tempfile.TemporaryDirectory() as name:
            _save(step, Path(name), 2)
            again = models.stepper(A, _tokens(), settings, device, cache)
            assert _saver(again, Path(name)).restore() is not None
        _steps(again, range(2, 4))
        _steps(step, range(2, 4))
        gathered = strategy.whole(step.model)
        assert gathered is not None
    apart = _relative_distance(_of(gathered), _weights(whole))
    resumed = _relative_distance(_weights(again), _of(gathered))
    # In bfloat16 a sharded block's norms are rounded too; Muon amplifies rounding.
    room = 1e-5 if settings.precision == "fp32" and optimiser == "adamw" else 2e-2
    return {"apart": apart, "resumed_apart": resumed, "holds": max(apart, resumed) < room}


@contextmanager
def _deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def out_of_memory(device: torch.device) -> dict[str, Any]:
    """A batch that does not fit is done in pieces, with the same gradient and loss.

    On a GPU its memory is limited; elsewhere the model refuses more than three rows.
    """
    settings = _settings("fp32")
    calm = models.stepper(A, _tokens(), settings, device, None)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    loss, gradient = _gradient(calm)
    step = models.stepper(A, _tokens(), settings, device, None)
    if device.type == "cuda":
        needs = torch.cuda.max_memory_allocated() - before
        del calm
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(device).total_memory
        limit = torch.cuda.memory_allocated() + 0.7 * needs
        torch.cuda.set_per_process_memory_fraction(limit / total)
    else:
        _refuse(step, 3)
    try:
        got, moved = _gradient(step)
    finally:
        if device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0)
    errors = {"loss": abs(got - loss) / loss, "gradient": _relative_distance(moved, gradient)}
    halved = step.micro_batch_rows < ROWS
    holds = halved and max(errors.values()) < 1e-5
    return {**errors, "micro_batch_rows": step.micro_batch_rows, "holds": holds}


def _refuse(step: Stepper, limit: int) -> None:
    hidden = step.model.hidden

    def limited(tokens: Tensor, *rest: Any) -> Tensor:
        if tokens.shape[0] > limit:
            raise torch.OutOfMemoryError("out of memory, as asked for")
        return hidden(tokens, *rest)

    step.model.hidden = limited  # type: ignore[method-assign]


def skipped(device: torch.device, cache: Path | None, optimiser: str) -> dict[str, Any]:
    """A step whose gradient is no number leaves weights and states to the bit; the steps after it
    are taken, and on a GPU none of them waits for it."""
    settings = _settings(devices.precision_on(device, "auto"), optimiser=optimiser)
    step = models.stepper(A, _tokens(), settings, device, cache)
    _steps(step, range(2))
    before = _states(step)
    weight = step.model.model.embed_tokens.weight
    spoiled = weight.register_hook(lambda gradient: gradient * float("nan"))
    figures = step(2, np.arange(2 * ROWS, 3 * ROWS))
    spoiled.remove()
    kept = all(map(torch.equal, before, _states(step)))
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        later = [step(n, np.arange(n * ROWS, (n + 1) * ROWS)) for n in range(3, 5)]
    finally:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    taken = not any(pending.read().skipped for pending in later)
    moved = not all(map(torch.equal, before, _states(step)))
    holds = figures.read().skipped and kept and taken and moved
    return {"kept": kept, "taken_afterwards": taken and moved, "holds": holds}


def _states(step: Stepper) -> list[Tensor]:
    found = [p.detach().clone() for p in step.model.parameters()]
    for made in step.optimisers:
        found += [value.clone() for held in made.state.values() for value in held.values()]
    return found


def documents(device: torch.device) -> dict[str, Any]:
    """Hidden states of a packed row, under its mask, are those of its documents alone."""
    model = models.fresh(A).to(device)
    tokens = _tokens()
    step = A.context // DOCUMENTS
    row = torch.from_numpy(tokens.train[:1].astype(np.int64))[:, :-1].to(device)
    segment = torch.arange(A.context, device=device) // step
    mask = (segment[:, None] == segment[None, :]).tril()[None, None]
    with torch.no_grad():
        packed = model.hidden(row, mask).view(DOCUMENTS, step, -1)
        # Rotary positions are relative, so a document's place in the row does not matter.
        alone = model.hidden(row.view(DOCUMENTS, step))
    error = _relative_distance(packed.cpu(), alone.cpu())
    return {"apart": error, "holds": error < 1e-5}


def generated(device: torch.device) -> dict[str, Any]:
    """Greedy answers to prompts of unequal lengths, beside those of the whole model without a
    cache; on a GPU steps are recorded."""
    model = models.fresh(A).to(device)
    prompts = [list(range(1, 1 + length)) for length in (3, 40, 117)]
    answers = generate(model, prompts, 24, ())
    worst = 0.0
    with torch.inference_mode():
        for prompt, answer in zip(prompts, answers, strict=True):
            ids = torch.tensor([[*prompt, *answer]], device=device)
            logits = model(ids)[0, len(prompt) - 1 : -1].float()
            chosen = logits.gather(-1, ids[0, len(prompt) :, None])[:, 0]
            worst = max(worst, float((logits.amax(-1) - chosen).max()))
    whole = all(len(answer) == 24 for answer in answers)
    return {"below_the_best_logit": worst, "holds": whole and worst < 1e-3}


def run(device: torch.device, cache: Path) -> dict[str, Any]:
    """All checks; "holds" says whether every one does."""
    found: dict[str, Any] = {
        "gradients": gradients(device, cache),
        "out_of_memory": out_of_memory(device),
        "documents": documents(device),
        "generated": generated(device),
    }
    found["resume adamw"] = resume(device, cache, "adamw")
    found["resume muon"] = resume(device, cache if device.type == "cuda" else None, "muon")
    for optimiser in ("adamw", "muon"):
        found[f"skipped {optimiser}"] = skipped(device, None, optimiser)
    if device.type == "cuda":  # on a CPU nothing is left to chance
        with _deterministic():
            found["resume deterministic"] = resume(device, cache, "adamw")
    checks = [found[name] for name in found if name != "gradients"]
    checks += list(found["gradients"].values())
    found["holds"] = all(check["holds"] for check in checks)
    return found


def run_sharded(device: torch.device, cache: Path) -> dict[str, Any]:
    """`sharded`, with both optimisers, and on a GPU with compiled blocks."""
    found: dict[str, Any] = {name: sharded(device, None, name) for name in ("adamw", "muon")}
    if device.type == "cuda":
        found["adamw, compiled"] = sharded(device, cache, "adamw")
    found["holds"] = all(check["holds"] for check in found.values())
    return found


def run_memory(device: torch.device, cache: Path, a: Architecture, rows: int) -> dict[str, Any]:
    """Rows at once that the first steps of a batch of `rows` find to fit."""
    o = constant_rate(rows, devices.precision_on(device, "auto"))
    tokens = random_rows(a.vocabulary_size, a.context, rows)
    step = models.stepper(a, tokens, o, device, cache)
    execution = Execution(
        device="auto", threads=0, compile=True, micro_batch_rows=0, checkpoint_seconds=60.0,
        keep_checkpoints=2, parallel="auto", activation_checkpointing="none",
        rendezvous_seconds=60.0, tensorboard="", wandb="off", wandb_project="", wandb_folder="",
    )  # fmt: skip
    run = Run("", Paths(*[""] * len(fields(Paths))), a, o, execution, (), Tasks(0, ""))
    seen, free = [], free_bytes(device)
    with tempfile.TemporaryDirectory() as folder:
        found = MicroBatch(run, device, step, Path(folder), True)
        for number in range(4):
            with found.measured():
                seen.append(step.micro_batch_rows)
                step(number, np.arange(rows)).read()
            seen.append(step.micro_batch_rows)
        found.keep()
        again = MicroBatch(run, device, step, Path(folder), True)
    kept = again.rows
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    return {
        "batch_rows": rows,
        "micro_batch_rows": seen,
        "kept": kept,
        "free_gib": round(free / 2**30, 2),
        "peak_memory_gib": round(peak / 2**30, 2),
        "holds": kept == seen[-1],
    }
