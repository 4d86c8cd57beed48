"""Forecasts of losses, on laws whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from llm.training.planner.loss_fit import LossFit, Observation, TooFewRunsError

# Chinchilla's law (Hoffmann et al. 2022, approach 3), losses in nats a token.
E, A, B, ALPHA, BETA = 1.69, 406.4, 410.7, 0.34, 0.28
LADDER = [(20e6, 4e8), (40e6, 2e8), (40e6, 8e8), (80e6, 4e8), (80e6, 1.6e9)]
TARGET = (160_000_000, 3_200_000_000)


def law(parameters: float, tokens: float) -> float:
    return E + A / parameters**ALPHA + B / tokens**BETA


def noisy(seed: int, error: float) -> list[Observation]:
    rng = np.random.default_rng(seed)
    return [
        Observation(int(n), int(d), law(n, d) * float(np.exp(error * rng.normal())))
        for n, d in LADDER
    ]


def test_a_run_twice_as_large_and_long_is_forecast_within_two_percent() -> None:
    truth = law(*TARGET)
    found = LossFit(noisy(0, 0.0)).forecast(*TARGET)
    assert found.loss == pytest.approx(truth, rel=0.02)
    assert found.low < truth < found.high
    assert (found.high - found.low) / found.loss < 0.15


def test_intervals_hold_what_they_promise() -> None:
    truth, rng, held = law(*TARGET), np.random.default_rng(9), 0
    for seed in range(10):
        found = LossFit(noisy(seed, 0.005)).forecast(*TARGET)
        held += found.low < truth * np.exp(0.005 * rng.normal()) < found.high
    assert held >= 8


def test_more_noise_makes_the_interval_wider() -> None:
    widths = []
    for error in (0.001, 0.03):
        found = LossFit(noisy(3, error)).forecast(*TARGET)
        widths.append(found.high - found.low)
    assert widths[1] > 1.5 * widths[0]


def test_one_odd_run_of_many_does_not_decide() -> None:
    runs = [
        Observation(int(n), int(d), law(n, d)) for n in (2e7, 4e7, 8e7) for d in (4e8, 8e8, 1.6e9)
    ]
    odd = [Observation(40_000_000, 800_000_000, 1.3 * law(4e7, 8e8))]
    without, with_it = LossFit(runs).forecast(*TARGET), LossFit(runs + odd).forecast(*TARGET)
    assert with_it.loss == pytest.approx(without.loss, rel=0.01)


def test_the_unit_of_the_loss_does_not_matter() -> None:
    runs = noisy(1, 0.002)
    scaled = [Observation(r.parameters, r.tokens, 10 * r.loss) for r in runs]
    one, other = LossFit(runs).forecast(*TARGET), LossFit(scaled).forecast(*TARGET)
    assert other.loss == pytest.approx(10 * one.loss, rel=1e-6)


def test_the_law_that_is_told_gives_about_what_is_forecast() -> None:
    fit = LossFit(noisy(2, 0.001))
    found = fit.law()
    n, d = TARGET
    told = found["E"] + found["A"] / n ** found["alpha"] + found["B"] / d ** found["beta"]
    assert told == pytest.approx(fit.forecast(n, d).loss, rel=0.05)


@pytest.mark.parametrize(
    "runs",
    [
        [(20e6, 4e8), (40e6, 8e8), (80e6, 4e8)],
        [(20e6, d) for d in (1e8, 2e8, 3e8, 4e8)],
        [(n, 4e8) for n in (1e7, 2e7, 3e7, 4e7)],
    ],
)
def test_too_few_runs(runs: list[tuple[float, float]]) -> None:
    with pytest.raises(TooFewRunsError, match="a fit needs 4, of two sizes"):
        LossFit([Observation(int(n), int(d), law(n, d)) for n, d in runs])
