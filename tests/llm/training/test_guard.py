"""Which steps are left out, and that they leave nothing behind."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llm.model.transformer import Transformer
from llm.training import optimisers
from llm.training.figures import PendingFigures
from llm.training.guard import MINIMUM, WINDOW, Guard
from llm.training.step import Stepper
from tests.llm.training.small_run import CPU, fresh, opened, stepper

NAN, INF = float("nan"), float("inf")
ROWS = [np.arange(start, start + 6) for start in range(0, 30, 6)]


def _judged(guard: Guard, loss: float, norm: float = 1.0) -> bool:
    return bool(guard.judge(torch.tensor(loss), torch.tensor(norm)).skip)


def _noise(seed: int = 0) -> Iterator[tuple[float, float]]:
    random = np.random.default_rng(seed)
    while True:
        yield 4 + 0.1 * random.standard_normal(), 1 + 0.05 * random.standard_normal()


def _used_to_it(sigmas: float = 6.0, steps: int = 300) -> tuple[Guard, list[tuple[float, float]]]:
    guard, noise = Guard(sigmas, CPU), _noise()
    seen = [next(noise) for _ in range(steps)]
    assert sum(_judged(guard, *figures) for figures in seen) == 0
    return guard, seen


@pytest.mark.parametrize("which", [0, 1])
def test_the_limit_is_six_deviations_above_the_mean_of_the_last_steps(which: int) -> None:
    for factor, skipped in ((5.9, False), (6.1, True)):
        guard, seen = _used_to_it()
        last = np.array(seen[-WINDOW:])
        figures = last.mean(0)
        figures[which] += factor * last.std(0)[which]
        assert _judged(guard, *figures.tolist()) is skipped


def test_the_first_steps_know_no_outlier() -> None:
    guard, noise = Guard(6.0, CPU), _noise()
    for _ in range(MINIMUM - 1):
        _judged(guard, *next(noise))
    assert not _judged(guard, 40.0)
    guard = _used_to_it(steps=MINIMUM)[0]
    assert _judged(guard, 40.0)


@pytest.mark.parametrize("sigmas", [0.0, 6.0])
@pytest.mark.parametrize("figures", [(NAN, 1.0), (INF, 1.0), (4.0, NAN), (4.0, INF), (-INF, 1.0)])
def test_what_is_not_finite_is_always_left_out(sigmas: float, figures: tuple[float, float]) -> None:
    guard = Guard(sigmas, CPU)
    assert _judged(guard, *figures)
    assert not _judged(guard, 4.0)
    used = _used_to_it(sigmas)[0]
    before = used.state()
    assert _judged(used, *figures)
    assert used.state() == before
    assert not _judged(used, 4.0)


def test_zero_sigmas_leave_out_no_finite_step() -> None:
    guard, _ = _used_to_it(0.0)
    assert not _judged(guard, 1e9, 1e9)


def test_an_outlier_hardly_moves_the_limit_and_a_new_level_is_accepted() -> None:
    guard, _ = _used_to_it()
    limit = float(guard.judge(torch.tensor(4.0), torch.tensor(1.0)).limits[0])
    assert _judged(guard, 1e6)
    moved = float(guard.judge(torch.tensor(4.0), torch.tensor(1.0)).limits[0])
    assert limit < moved < limit + 0.3
    assert _judged(guard, 1e6)
    guard, _ = _used_to_it()
    skipped = [_judged(guard, 5.0) for _ in range(20)]  # ten deviations up
    assert 0 < sum(skipped) < 8
    assert not any(skipped[8:])


def test_what_is_saved_judges_alike() -> None:
    guard, _ = _used_to_it()
    other = Guard(6.0, CPU)
    other.load(guard.state())
    noise = _noise(1)
    for step in range(200):
        loss, norm = next(noise)
        loss += 3.0 * (step % 50 == 7)
        mine = guard.judge(torch.tensor(loss), torch.tensor(norm))
        theirs = other.judge(torch.tensor(loss), torch.tensor(norm))
        assert torch.equal(torch.stack(mine.limits.unbind()), theirs.limits)
        assert bool(mine.skip) == bool(theirs.skip)


def _spoiled(step: Stepper, value: float) -> Callable[[], None]:
    """From the next step on gradients of one matrix have this factor; call to stop it."""
    weight = step.model.model.layers[0].mlp.gate_proj.weight
    hook = weight.register_hook(lambda gradient: gradient * value)
    return hook.remove


def _states(step: Stepper) -> list[torch.Tensor]:
    found = [p.detach().clone() for p in step.model.parameters()]
    for optimiser in step.optimisers:
        for held in optimiser.state.values():
            found += [value.clone() for _, value in sorted(held.items())]
    return found


def _alike(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


def _on_device(made: list[torch.optim.Optimizer]) -> None:
    """As they are on a GPU."""
    for optimiser in made:
        if isinstance(optimiser, torch.optim.AdamW):
            for group in optimiser.param_groups:
                group["fused"] = True


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("optimiser", optimisers.OPTIMISERS)
@pytest.mark.parametrize("factor", [NAN, INF, 1e6])
def test_a_step_left_out_leaves_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    optimiser: str,
    factor: float,
    on_device: bool,
) -> None:
    """Also where the optimisers decide by themselves, as they do on a GPU."""
    tokens = opened(tmp_path)
    settings: dict[str, Any] = {"optimiser": optimiser, "batch_rows": 6, "clip": 1.0}
    spoiled, calm = (stepper(fresh(), tokens, **settings) for _ in range(2))
    for step in (spoiled, calm):
        if on_device:
            _on_device(step.optimisers)
    if on_device:
        monkeypatch.setattr(optimisers, "take_step", optimisers.take_step_on_device)
    for number in range(2):
        spoiled(number, ROWS[number])
        calm(number, ROWS[number])
    before = _states(spoiled)
    restore = _spoiled(spoiled, factor)
    if factor == 1e6:  # an outlier: by its size alone
        spoiled.guard.load({"window": [[6.0, 8.0] * 64, [0.5, 1.5] * 64], "seen": WINDOW})
    figures = spoiled(2, ROWS[2]).read()
    restore()
    assert figures.skipped
    assert math.isfinite(figures.loss)
    assert math.isfinite(figures.gradient_norm) == math.isfinite(factor)
    assert _alike(_states(spoiled), before)
    for number in range(3, 5):
        assert not spoiled(number, ROWS[number]).read().skipped
        calm(number, ROWS[number])
    assert _alike(_states(spoiled), _states(calm))
    assert not _alike(_states(spoiled), before)


@pytest.mark.parametrize("optimiser", optimisers.OPTIMISERS)
def test_a_gpu_s_way_takes_the_same_steps(tmp_path: Path, optimiser: str) -> None:
    tokens = opened(tmp_path)
    settings: dict[str, Any] = {"optimiser": optimiser, "batch_rows": 6, "learning_rate": 1e-3}
    host, device = (stepper(fresh(), tokens, **settings) for _ in range(2))
    _on_device(device.optimisers)
    for number in range(4):
        host(number, ROWS[number])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(optimisers, "take_step", optimisers.take_step_on_device)
            device(number, ROWS[number])
    for mine, theirs in zip(_states(host), _states(device), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_an_overflow_in_the_forward_pass_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = stepper(fresh(), opened(tmp_path), batch_rows=6)
    step(0, ROWS[0])
    before, whole = _states(step), Transformer.hidden

    def hidden(self: Transformer, tokens: torch.Tensor, *others: object) -> torch.Tensor:
        return whole(self, tokens, *others) * INF

    monkeypatch.setattr(Transformer, "hidden", hidden)
    figures = step(1, ROWS[1]).read()
    assert figures.skipped
    assert math.isnan(figures.loss)
    assert _alike(_states(step), before)


def test_norms_of_groups(tmp_path: Path) -> None:
    step = stepper(fresh(), opened(tmp_path), batch_rows=6, clip=0.0)
    held: dict[str, torch.Tensor] = {}

    def hold(*_: object) -> None:
        held.update((name, p.grad.clone()) for name, p in step.model.named_parameters())

    step.optimisers[0].register_step_pre_hook(hold)
    figures = step(0, ROWS[0]).read()
    assert set(figures.group_norms) == {"embedding", "matrix", "vector"}
    vectors = torch.cat([value for name, value in held.items() if "norm" in name])
    assert figures.group_norms["vector"] == pytest.approx(float(vectors.norm()), rel=1e-5)
    whole = math.sqrt(sum(value**2 for value in figures.group_norms.values()))
    assert figures.gradient_norm == pytest.approx(whole, rel=1e-6)


def test_figures_are_of_the_moment_they_were_made(tmp_path: Path) -> None:
    step = stepper(fresh(), opened(tmp_path), batch_rows=6)
    pending: list[PendingFigures] = [step(number, ROWS[number]) for number in range(3)]
    again = stepper(fresh(), opened(tmp_path), batch_rows=6)
    read = [again(number, ROWS[number]).read() for number in range(3)]
    assert [(p.read().loss, p.read().gradient_norm) for p in pending] == [
        (figures.loss, figures.gradient_norm) for figures in read
    ]
