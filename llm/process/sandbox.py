"""Run a function over items in a process that they may kill.

C code that crashes or never returns on one page in a million must cost that
page, not the shard. Items go to a child process in batches. When it dies or
passes the deadline, the items of that batch go one by one; one that fails
alone is tried once more in a fresh process, and only then given up.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

from llm.process.child import Child, ChildCrashedError, ChildTimeoutError
from llm.process.child_main import resolve

T = TypeVar("T")
R = TypeVar("R")

_ENTRY = "llm.process.sandbox:run_limited"


@dataclass(frozen=True)
class Failure:
    """What an item did to its process, twice: "timeout" or "crashed"."""

    reason: str
    detail: str


class Sandbox(Generic[T, R]):
    """A child process for one function `f(items, *arguments) -> results`, one result an item (or
    one for all of them, where whoever calls knows which it is)."""

    def __init__(
        self,
        function: str,
        arguments: Sequence[Any],
        deadline: float,
        max_memory_bytes: int | None,
        max_rss_bytes: int | None,
    ) -> None:
        """
        Args:
            function: "module:name".
            arguments: picklable; passed behind the items.
            deadline: seconds for a batch, and for an item sent alone.
            max_memory_bytes: address space the process may have (on Linux): an allocation beyond
                fails in it, instead of taking the machine's memory from everyone. None = no bound.
            max_rss_bytes: the process is replaced once it holds more between two batches
                (extraction libraries keep caches that only grow). None = never.
        """
        self._function = function
        self._arguments = tuple(arguments)
        self._deadline = deadline
        self._max_memory_bytes = max_memory_bytes
        self._max_rss_bytes = max_rss_bytes
        self._child = Child(None)
        self._first: tuple[Sequence[T], float] | None = None

    def prepare(self, items: Sequence[T], seconds: float) -> None:
        """Call the function with `items` before anything else in each new process, so that what
        it loads there is no matter of those that come after.

        Args:
            items: usually none.
            seconds: what that may take.

        Raises:
            ChildCrashedError, ChildTimeoutError, ChildFailedError:
                the first process did not come as far as that.
        """
        self._first = (items, seconds)
        self._ready()

    def _ready(self) -> None:
        if self._first is not None and self._child.pid is None:
            items, seconds = self._first
            self._call(items, seconds)

    def run(self, items: Sequence[T], more_seconds: float = 0.0) -> list[R | Failure]:
        """A result or a failure for each item, in order.

        Args:
            items: picklable; slices of it are what goes alone.
            more_seconds: what these may take beyond the deadline.

        Raises:
            ChildFailedError: the function raised; what it raises for single items is
                its own to catch.
        """
        try:
            results: list[R | Failure] = list(self.call(items, more_seconds))
        except (ChildCrashedError, ChildTimeoutError):
            results = [
                self._call_alone(items[place : place + 1], more_seconds)
                for place in range(len(items))
            ]
        if self._max_rss_bytes is not None and self.rss_bytes() > self._max_rss_bytes:
            self.close()
        return results

    def call(self, items: Sequence[T], more_seconds: float = 0.0) -> list[R]:
        """The results of one call; whatever happens to the process is an error.

        Raises:
            ChildCrashedError, ChildTimeoutError: what `run` makes a failure of.
            ChildFailedError: the function raised.
        """
        self._ready()
        return self._call(items, self._deadline + more_seconds)

    def _call(self, items: Sequence[T], seconds: float) -> list[R]:
        results: list[R] = self._child.call(
            _ENTRY,
            self._max_memory_bytes,
            self._function,
            items,
            *self._arguments,
            timeout=seconds,
        )
        return results

    def rss_bytes(self) -> int:
        """Resident memory of the process in bytes; 0 when there is none."""
        return self._child.rss_bytes()

    def _call_alone(self, item: Sequence[T], more_seconds: float) -> R | Failure:
        try:
            return self.call(item, more_seconds)[0]
        except (ChildCrashedError, ChildTimeoutError):
            pass  # the next call gets a process that no other item has touched
        try:
            return self.call(item, more_seconds)[0]
        except ChildCrashedError as error:
            return Failure("crashed", f"the process died twice: {error.cause}")
        except ChildTimeoutError:
            seconds = self._deadline + more_seconds
            return Failure("timeout", f"no answer within {seconds:g} s, twice")

    def __enter__(self) -> Sandbox[T, R]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; the next `run` starts another."""
        self._child.close()


# The last one asked for: a worker does one kind of work at a time.
_warm: tuple[tuple[Any, ...], Sandbox[Any, Any]] | None = None


def warm_sandbox(
    function: str,
    arguments: Sequence[Any],
    deadline: float,
    max_memory_bytes: int | None,
    max_rss_bytes: int | None,
) -> Sandbox[Any, Any]:
    """A `Sandbox` of these arguments that stays after use: the next caller in this process who
    asks for the same gets it with its process running, and saves the start of one. The work of
    one file after another is then as cheap as that of all in one.

    Its process ends with this one, when another sandbox is asked for, or by `close_warm`.
    """
    global _warm
    key = (function, *arguments, deadline, max_memory_bytes, max_rss_bytes)
    if _warm is None or _warm[0] != key:
        close_warm()
        made: Sandbox[Any, Any] = Sandbox(
            function, arguments, deadline, max_memory_bytes, max_rss_bytes
        )
        _warm = (key, made)
    return _warm[1]


def close_warm() -> None:
    """End the process of the warm sandbox, if there is one."""
    global _warm
    if _warm is not None:
        _warm[1].close()
        _warm = None


def run_limited(max_memory_bytes: int | None, function: str, *args: Any) -> Any:
    """In the child: run `function` with the address space of the process bounded."""
    if sys.platform == "linux" and max_memory_bytes is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard != resource.RLIM_INFINITY:
            max_memory_bytes = min(max_memory_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, hard))
    return resolve(function)(*args)


def batches(
    items: Iterable[T], size: Callable[[T], int], max_items: int, max_size: int
) -> Iterator[list[T]]:
    """Consecutive items in lists of at most `max_items`, of at most `max_size` in all (an item
    larger than that is alone)."""
    batch: list[T] = []
    total = 0
    for item in items:
        weight = size(item)
        if batch and (len(batch) == max_items or total + weight > max_size):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += weight
    if batch:
        yield batch
