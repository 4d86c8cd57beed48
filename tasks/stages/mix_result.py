"""What follows from the proxies of `mix`: a law, the mixture it promises most of, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llm.mixing.law import Laws, fit, left_out, rank_correlation
from llm.mixing.proposal import propose

Floats = NDArray[np.float64]
WEIGHTS = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
        pa.field("proportional", pa.float64(), nullable=False),
        pa.field("max_epochs", pa.float64(), nullable=False),
        pa.field("epochs", pa.float64(), nullable=False),
        pa.field("importance", pa.float64(), nullable=False),
        pa.field("bits_per_byte", pa.float64(), nullable=False),
        pa.field("proportional_bits_per_byte", pa.float64(), nullable=False),
    ]
)
PROXIES = pa.schema(
    [
        pa.field("proxy", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
        pa.field("bits_per_byte", pa.float64(), nullable=False),
        pa.field("left_out_bits_per_byte", pa.float64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
    ]
)
_WAY = 20  # steps from the proportional mixture to the proposed one, as drawn


@dataclass(frozen=True)
class Sources:
    """What there is to mix.

    Attributes:
        names: of the sources, each of which is a domain too.
        tokens: float64 (sources,): train tokens of each.
        importance: float64 (sources,): what each counts in the average.
        target_tokens: of the training the weights are for.
        max_epochs: times a source may be gone through in it.
    """

    names: Sequence[str]
    tokens: Floats
    importance: Floats
    target_tokens: int
    max_epochs: float

    @property
    def share(self) -> Floats:
        """float64 (sources,): of each, of all tokens; the proportional mixture."""
        found: Floats = self.tokens / self.tokens.sum()
        return found

    @property
    def limits(self) -> Floats:
        """float64 (sources,): the most each may weigh."""
        found: Floats = self.max_epochs * self.tokens / self.target_tokens
        return found


@dataclass(frozen=True)
class Result:
    """What a search came to.

    Attributes:
        mixtures: float64 (proxies, sources).
        bits: float64 (proxies, sources): per byte, as measured.
        told: the same, as the other proxies tell.
        weights: float64 (sources,): proposed.
    """

    sources: Sources
    mixtures: Floats
    bits: Floats
    told: Floats
    laws: Laws
    weights: Floats

    def weights_table(self) -> pa.Table:
        """A row a source: its weight, and bits per byte to expect on it."""
        sources, count = self.sources, len(self.sources.names)
        proposed, before = self.laws.bits(np.stack([self.weights, sources.share]))
        columns = [
            list(sources.names),
            self.weights,
            sources.share,
            np.full(count, sources.max_epochs),
            self.weights * sources.target_tokens / sources.tokens,
            self.laws.importance,
            proposed,
            before,
        ]
        return pa.table([pa.array(column) for column in columns], schema=WEIGHTS)

    def proxies_table(self, proxies: Sequence[str], tokens: Sequence[int]) -> pa.Table:
        """A row a proxy and source.

        Args:
            proxies: their names; tokens: that each was trained on.
        """
        names = list(self.sources.names)
        columns = [
            np.repeat(np.array(proxies), len(names)),
            names * len(proxies),
            self.mixtures.ravel(),
            self.bits.ravel(),
            self.told.ravel(),
            np.repeat(np.array(tokens, dtype=np.int64), len(names)),
        ]
        return pa.table([pa.array(column) for column in columns], schema=PROXIES)

    def facts(self) -> dict[str, Any]:
        """Figures, and curves to draw."""
        laws, names = self.laws, self.sources.names
        average, told = self.bits @ laws.importance, self.told @ laws.importance
        return {
            "rank_correlation": rank_correlation(told.tolist(), average.tolist()),
            "rank_correlations": {
                name: rank_correlation(self.told[:, at].tolist(), self.bits[:, at].tolist())
                for at, name in enumerate(names)
            },
            "left_out_error": float(np.sqrt(np.mean((told - average) ** 2))),
            "law": laws.kind,
            "errors": {str(kind): error for kind, error in laws.errors.items()},
            "bits_per_byte": laws.average(self.weights),
            "proportional_bits_per_byte": laws.average(self.sources.share),
            "target_tokens": self.sources.target_tokens,
            "way": self._way(),
        }

    def _way(self) -> dict[str, list[list[float]]]:
        """Bits per byte by domain, and on average, from proportional to proposed."""
        steps = np.linspace(0, 1, _WAY + 1)
        share = self.sources.share
        found = self.laws.bits(share + steps[:, None] * (self.weights - share))
        series = {name: found[:, at] for at, name in enumerate(self.sources.names)}
        series["average"] = found @ self.laws.importance
        return {name: np.stack([steps, values], axis=1).tolist() for name, values in series.items()}


def result(
    sources: Sources, drawn: Sequence[Mapping[str, float]], measured: Sequence[Mapping[str, float]]
) -> Result:
    """The law of these proxies, and the mixture with the fewest bits per byte by it.

    Args:
        drawn: weights of each proxy; measured: bits per byte of each, by domain.

    Raises:
        UnfittableError: they determine none.  NoMixtureError: limits leave no mixture.
    """
    mixtures = np.array([[each.get(name, 0.0) for name in sources.names] for each in drawn])
    bits = np.array([[each[name] for name in sources.names] for each in measured])
    laws = fit(mixtures, bits, sources.importance)
    told = left_out(mixtures, bits, sources.importance)
    weights = propose(laws, sources.limits, np.stack([sources.share, *mixtures]))
    return Result(sources, mixtures, bits, told, laws, weights)
