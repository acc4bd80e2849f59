"""The baton: one conductor at a time, relieved when a Run lasts."""

import threading
from typing import Any

from scheduler.core.clock import perf_counter
from scheduler.worker.baton import PATIENCE_S, Baton


class Crew:
    """Conductors that do what the test says, step by step."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go = threading.Event()
        self.seats = []
        self.held = []
        self.baton = Baton("crew", self.conduct)

    def conduct(self, seat: Any) -> None:
        self.seats.append(seat)
        self.baton.begin()
        self.entered.release()
        self.go.wait(5)
        self.held.append(self.baton.end(seat))
        self.baton.pass_on(seat) if self.held[-1] else None


def test_a_long_run_passes_the_baton_to_another_thread() -> None:
    crew = Crew()
    crew.baton.start()
    assert crew.entered.acquire(timeout=5)
    first = crew.seats[0]
    crew.baton.relieve(perf_counter())  # too early: patience
    crew.baton.relieve(perf_counter() + 2 * PATIENCE_S)
    assert crew.entered.acquire(timeout=5)
    assert crew.seats[1] is not first
    crew.baton.close()
    crew.go.set()
    for thread in threading.enumerate():
        if thread.name.startswith("crew"):
            thread.join(5)
    assert sorted(crew.held) == [False, True]


def test_a_stumbling_conductor_goes_on() -> None:
    calls, over = [], threading.Event()

    def conduct(_: Any) -> None:
        calls.append(1)
        if len(calls) < 3:
            raise RuntimeError("a bug of ours")
        over.set()

    baton = Baton("stumble", conduct)
    baton.start()
    assert over.wait(5)
    baton.close()
    assert len(calls) == 3
