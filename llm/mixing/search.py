"""All proxies of a search, some at a time, each in a process of its own."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from llm.errors import ExpectedError
from llm.mixing.proxies import Outcome, is_finished, missing, outcome
from llm.mixing.run_file import Proxy, Search
from llm.process.child import Child, ChildCrashedError, ChildFailedError
from llm.process.events import Progress, log
from llm.process.parent import StoppedError, StopRequest
from llm.training import devices
from llm.training.distributed import Processes
from llm.training.shared_tokens import open_tokens

_LOOK_SECONDS = 0.5


class ProxyError(ExpectedError, RuntimeError):
    """A proxy could not be trained or measured; says which, and why."""


def carry_out(search: Search, stop: StopRequest) -> list[Outcome]:
    """What all proxies came to, in order; those that are kept are not trained again.

    Raises:
        StoppedError: SIGTERM came; what is finished stays, the others have checkpoints.
        ProxyError: one failed; what is finished stays.
    """
    todo = [
        each for each in search.proxies if not is_finished(search, each) or missing(search, each)
    ]
    done = len(search.proxies) - len(todo)
    if done:
        log(f"{done} of {len(search.proxies)} proxies are there from before")
    if todo:
        open_tokens(search.training, Processes(0, 1))  # once for all
        search = _shared_out(search, len(todo))
        stop.hold()
        _finish(search, todo, done, stop)
        stop.release()
    return [outcome(search, each) for each in search.proxies]


def _shared_out(search: Search, todo: int) -> Search:
    """With numbers of proxies at a time and of threads that suit the machine, where left open."""
    execution, cores = search.training.execution, _cores()
    on_cpu = devices.find(execution.device).type == "cpu"
    at_once = search.at_once or (max(1, cores // max(1, execution.threads)) if on_cpu else 1)
    at_once = min(at_once, todo)
    threads = execution.threads or (max(1, cores // at_once) if on_cpu else 0)
    training = replace(search.training, execution=replace(execution, threads=threads))
    return replace(search, at_once=at_once, training=training)


def _cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _finish(search: Search, todo: Sequence[Proxy], already: int, stop: StopRequest) -> None:
    progress = Progress(len(search.proxies), "mixture", already)
    workers = _Workers(search)
    with ThreadPoolExecutor(search.at_once, "proxy") as threads:
        try:
            waiting = {threads.submit(workers.finish, proxy) for proxy in todo}
            while waiting:
                ended, waiting = wait(waiting, _LOOK_SECONDS, FIRST_COMPLETED)
                if stop.requested:
                    raise _stopped(search, workers, waiting | ended)
                for each in ended:
                    each.result()
                    already += 1
                    progress.report(already)
        finally:
            # What has not begun does not; what is under way after an error ends at once.
            threads.shutdown(wait=False, cancel_futures=True)
            workers.kill()


def _stopped(search: Search, workers: _Workers, running: set[Future[None]]) -> StoppedError:
    """Ask all that are under way, and wait until they have written their checkpoints."""
    for each in running:
        each.cancel()
    workers.ask_to_stop()
    wait(running)
    finished = sum(is_finished(search, proxy) for proxy in search.proxies)
    return StoppedError(
        f"stopped with {finished} of {len(search.proxies)} proxies finished, which stay"
    )


class _Workers:
    """As many processes as proxies are trained at a time; each is started when it is needed."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._all = [Child(None) for _ in range(search.at_once)]
        self._idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
        for child in self._all:
            self._idle.put(child)

    def finish(self, proxy: Proxy) -> None:
        """Raises:
        ProxyError: it failed.
        """
        child = self._idle.get()
        try:
            child.call("llm.mixing.proxies:finish", self._search, proxy)
        except ChildFailedError as error:
            raise _failed(proxy, f"{error.type_name}: {error.message}") from error
        except ChildCrashedError as error:
            raise _failed(proxy, f"its process died: {error.cause}") from error
        finally:
            self._idle.put(child)
        found = outcome(self._search, proxy)
        bits = ", ".join(f"{name} {value:.4f}" for name, value in found.bits.items())
        log(f"proxy of {_shares(proxy)}: {bits} bits per byte, {found.seconds:.0f} s")

    def ask_to_stop(self) -> None:
        """They write checkpoints, and end."""
        for child in self._all:
            pid = child.pid
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)

    def kill(self) -> None:
        """At once, and none is started any more."""
        for child in self._all:
            child.kill()


def _failed(proxy: Proxy, why: str) -> ProxyError:
    return ProxyError(f"proxy {proxy.name[:16]} ({_shares(proxy)}): {why}")


def _shares(proxy: Proxy) -> str:
    return ", ".join(f"{share.source} {share.weight:g}" for share in proxy.shares)
