"""A process runner with short patience, and what a test asks of it."""

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from scheduler.core.clock import monotonic
from scheduler.core.outcome import Outcome
from scheduler.core.ports import Handle, Job
from scheduler.worker.process_slot import Patience
from scheduler.worker.processes import ProcessRunner

TASKS = Path(__file__).parent / "tasks"
QUICK = Patience(term_ms=150, kill_ms=300, linger_ms=600, abandon_ms=2_000)


def until(condition: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """What ``condition`` returns once it is true; for what happens in foreign processes."""
    deadline = monotonic() + timeout_s
    while not (value := condition()):
        assert monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.005)
    return value


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Started:
    """An attempt under way; ``outcome()`` waits for its end, which must come once."""

    def __init__(self) -> None:
        self.handle: Handle
        self.outcomes: list[Outcome] = []
        self.began = monotonic()
        self.took_s = 0.0
        self._ended = threading.Event()

    def done(self, outcome: Outcome) -> None:
        self.took_s = monotonic() - self.began
        self.outcomes.append(outcome)
        self._ended.set()

    def outcome(self, timeout_s: float = 20.0) -> Outcome:
        assert self._ended.wait(timeout_s), "the attempt has no end"
        assert len(self.outcomes) == 1
        return self.outcomes[0]


class Bench:
    """A ProcessRunner and what it reported. ``measured`` False: without coverage, which costs each process 30 ms."""

    def __init__(self, *, measured: bool = True, **options: Any) -> None:
        self.output: dict[str, bytes] = defaultdict(bytes)
        self.progress: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self._count = 0
        coverage = {name: value for name, value in os.environ.items() if measured and name.startswith("COVERAGE_")}
        settings: dict[str, Any] = {
            "resolver": "plain_resolver:resolve",
            "prepare": "plain_resolver:use_folder",
            "plugins": str(TASKS),
            "patience": QUICK,
            "on_output": self._on_output,
            "on_progress": lambda run, percent, message: self.progress[run].append((percent, message)),
        }
        self.runner = ProcessRunner(**{**settings, **options, "env": {**coverage, **options.get("env", {})}})

    def start(self, target: str, params: dict[str, Any] | None = None, **options: Any) -> Started:
        self._count += 1
        settings = {"run": f"run-{self._count}", "attempt": 1, "token": 7, "timeout_ms": None, "memory_limit": None, "fresh": False}
        fields = {**settings, "task": "a_task", "target": target, "params": params or {}, "scheduled_ms": None, "env": {}, **options}
        started = Started()
        started.handle = self.runner.start(Job(**fields), started.done)
        return started

    def run(self, target: str, params: dict[str, Any] | None = None, **options: Any) -> Outcome:
        return self.start(target, params, **options).outcome()

    @property
    def server(self) -> psutil.Process:
        assert self.runner._server
        return psutil.Process(self.runner._server.process.pid)

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self.server.children(recursive=True)]

    def _on_output(self, run: str, data: bytes) -> None:
        self.output[run] = (self.output[run] + data)[-1_000_000:]


@pytest.fixture
def make_bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    """Runners of a test's own; closed, and looked after, at its end."""
    monkeypatch.syspath_prepend(str(TASKS))
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        made.append(Bench(**options))
        return made[-1]

    yield make
    for bench in made:
        close(bench)


def close(bench: Bench) -> None:
    server = bench.runner._server
    pids = [server.process.pid, *bench.pids] if server and alive(server.process.pid) else []
    bench.runner.close()
    assert bench.runner.children == 0
    assert [pid for pid in pids if alive(pid)] == []


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """One runner for the tests of a module: what one test does must not touch the next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TASKS))
        shared = Bench()
        yield shared
        close(shared)


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    return until


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    return alive
