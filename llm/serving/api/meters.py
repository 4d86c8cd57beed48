"""Counters of a server, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from llm.serving.served_model import Load

_FIRST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_EACH = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside each, which nothing reads


class ModelMeters:
    """Those of one model."""

    def __init__(self, read: Counter, wrote: Counter, first: Histogram, each: Histogram) -> None:
        self._read, self._wrote, self._first, self._each = read, wrote, first, each

    def read(self, tokens: int) -> None:
        """Tokens of a prompt."""
        self._read.inc(tokens)

    def wrote(self, tokens: int) -> None:
        """Tokens of an answer."""
        self._wrote.inc(tokens)

    def first_token(self, seconds: float) -> None:
        """From the request to the first token of an answer, the wait for a place included."""
        self._first.observe(seconds)

    def token(self, seconds: float) -> None:
        """Between one token and the next, the mean over an answer."""
        self._each.observe(seconds)


class Meters:
    """Those of a server.

    Args:
        loads: by name of the model, asks what it has to do.
    """

    def __init__(self, loads: Mapping[str, Callable[[], Load]]) -> None:
        self._registry = CollectorRegistry()
        kept = self._registry
        self._requests = Counter(
            "ingot_requests", "Requests by route and status.", ["route", "status"], registry=kept
        )
        read = Counter("ingot_prompt_tokens", "Tokens of prompts.", ["model"], registry=kept)
        wrote = Counter("ingot_completion_tokens", "Tokens of answers.", ["model"], registry=kept)
        first = Histogram(
            "ingot_time_to_first_token_seconds",
            "From a request to the first token of an answer.",
            ["model"],
            buckets=_FIRST,
            registry=kept,
        )
        each = Histogram(
            "ingot_time_per_token_seconds",
            "Between one token of an answer and the next, the mean over the answer.",
            ["model"],
            buckets=_EACH,
            registry=kept,
        )
        self._models = {
            name: ModelMeters(
                read.labels(name), wrote.labels(name), first.labels(name), each.labels(name)
            )
            for name in loads
        }
        self._registry.register(_Loads(loads))

    def of(self, model: str) -> ModelMeters:
        return self._models[model]

    def request(self, route: str, status: int) -> None:
        """A request that has been answered.

        Args:
            route: one of the server's own, never what a client made up.
        """
        self._requests.labels(route, str(status)).inc()

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _Loads(Collector):
    def __init__(self, loads: Mapping[str, Callable[[], Load]]) -> None:
        self._loads = loads

    def collect(self) -> Iterator[GaugeMetricFamily]:
        running = GaugeMetricFamily(
            "ingot_requests_running", "Answers being made.", labels=["model"]
        )
        waiting = GaugeMetricFamily(
            "ingot_requests_waiting", "Requests in the queue.", labels=["model"]
        )
        for name, load in self._loads.items():
            found = load()
            running.add_metric([name], found.running)
            waiting.add_metric([name], found.waiting)
        yield running
        yield waiting
