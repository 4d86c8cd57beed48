"""How many CPU threads work is done with: found by timing the work itself.

A product cut into as many pieces as there are cores waits for the slowest of them. Alone on a
machine all cores are best; with other work running, a thread that has to queue holds up all the
others in each of thousands of products a second, and fewer threads are many times faster. Nothing
but a trial tells which it is.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

# A number of threads is timed on so many pieces of work at least, and for so many seconds: short
# pieces vary.
_TRIALS, _TRIAL_SECONDS = 3, 2.0
_RECENT = 5  # pieces of work the present rate is the median of
_CORES = torch.get_num_threads()  # before anybody sets another number
# Seconds after which more threads than the present ones are tried again: soon, since a neighbour
# of a moment may have decided, and later each time that they turn out no better.
_SOONEST, _LATEST = 10.0, 120.0
_APART = 30  # and after as many pieces: a look costs at least two, which may be slow ones
UNKNOWN = (0, 0.0)


class ThreadTuner:
    """Sets the number of threads, and keeps setting it.

    All numbers (1, 2, 4, ... all cores) are tried on the first pieces of work, and again when the
    rate has fallen to half. While fewer threads than cores are in use, the larger numbers are tried
    after ten seconds, and after twice as long each time they are no better, up to two minutes: only
    a trial shows that a neighbour is gone.

    Args:
        device: threads matter on "cpu" alone.
        fixed: a number that is used come what may; 0 = find it.
        known: what `found` was in an earlier process, to begin with instead of trials: a number
            and its rate. (0, 0.0) = nothing.
        cores: most threads; 0 = as many as PyTorch uses of its own accord.
        trial_seconds: a number is timed for so long at least.
        set_threads, clock: for tests.

    Attributes:
        threads: the number in force.
        found: the number the last search ended with, and its rate in work a second; (0, 0.0)
            before the first has ended, and where nothing is searched for.
    """

    def __init__(
        self,
        device: torch.device,
        fixed: int,
        known: tuple[int, float] = UNKNOWN,
        cores: int = 0,
        set_threads: Callable[[int], None] = torch.set_num_threads,
        clock: Callable[[], float] = time.monotonic,
        trial_seconds: float = _TRIAL_SECONDS,
    ) -> None:
        self._set, self._clock, self._trial_seconds = set_threads, clock, trial_seconds
        max_threads = cores or _CORES
        self._tuned = device.type == "cpu" and not fixed and max_threads > 1
        doubled = [1 << power for power in range(max_threads.bit_length())]
        self._numbers = sorted(
            {*(n for n in doubled if n < max_threads), max_threads}, reverse=True
        )
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._rates: dict[int, list[float]] = {}
        self._waiting: list[int] = []
        number, rate = known
        self._spent = 0.0
        # Without its rate, what a busy machine makes of it would pass for the usual.
        usable = 0 < number <= max_threads and rate > 0
        self.found = known if self._tuned and usable else UNKNOWN
        self._looked, self._pause, self._since = clock(), _SOONEST, 0
        self.threads = fixed or self.found[0] or max_threads
        self._fresh = 1  # pieces not to be timed: what comes first also compiles and allocates
        set_threads(self.threads)
        if self._tuned and self.found == UNKNOWN:
            self._try(self._numbers, {})

    def enforce(self) -> None:
        """Set the number in force again: another tuner of this process may have set its own."""
        self._set(self.threads)

    @contextmanager
    def timed(self, work: float) -> Iterator[None]:
        """The body is a piece of work of this size, in any unit that grows with its time."""
        began = self._clock()
        yield
        self.done(work, self._clock() - began)

    def done(self, work: float, seconds: float) -> None:
        """A piece of work was done in this time, with the number in force."""
        if not self._tuned or seconds <= 0:
            return
        if self._fresh:
            self._fresh -= 1
        elif self._rates:
            self._record_trial(work / seconds, seconds)
        else:
            self._watch(work / seconds)

    def _try(self, numbers: list[int], known: dict[int, list[float]]) -> None:
        """Time these numbers, and choose the best of them and of those whose rates are known."""
        self._rates = {**known, numbers[0]: []}
        self._waiting = list(numbers[1:])
        self._use(numbers[0])

    def _record_trial(self, rate: float, seconds: float) -> None:
        rates = self._rates[self.threads]
        rates.append(rate)
        self._spent += seconds
        others = [self._mean(n) for n in self._rates if n != self.threads]
        hopeless = bool(others) and rate < max(others) / 2  # so a bad number costs one piece
        if (len(rates) < _TRIALS or self._spent < self._trial_seconds) and not hopeless:
            return
        self._spent = 0.0
        if self._waiting:
            number = self._waiting.pop(0)
            self._rates[number] = []
            self._use(number)
            return
        best = max(self._rates, key=self._mean)
        fruitless = best == self.found[0]
        self._pause = min(2 * self._pause, _LATEST) if fruitless else _SOONEST
        self.found = (best, self._mean(best))
        self._rates = {}
        self._recent.clear()
        self._looked, self._since = self._clock(), 0
        self._use(best)

    def _mean(self, number: int) -> float:
        """Pieces are alike, so the rate of several is the harmonic mean of theirs."""
        return statistics.harmonic_mean(self._rates[number])

    def _watch(self, rate: float) -> None:
        self._recent.append(rate)
        self._since += 1
        if len(self._recent) < _RECENT:
            return
        present = statistics.median(self._recent)
        more = [n for n in self._numbers if n > self.threads]
        due = self._since >= _APART and self._clock() - self._looked > self._pause
        if present < self.found[1] / 2:
            others = [n for n in self._numbers if n != self.threads]
            self._try([self.threads, *others], {})
        elif more and due:
            # What the present number does is known, so a look costs a few pieces of the others.
            self._try(more, {self.threads: [present]})

    def _use(self, number: int) -> None:
        if number != self.threads:
            self._fresh = 1
            self.threads = number
            self._set(number)
