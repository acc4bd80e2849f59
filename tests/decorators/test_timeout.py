import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest

from scheduler.core.marks import marks_of
from scheduler.decorators import timeout


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Blocks a body until the test is over, so that no thread outlives it."""
    event = threading.Event()
    yield event
    event.set()


def test_a_body_that_overruns_raises_in_its_caller(gate: threading.Event) -> None:
    @timeout(0.05)
    def train() -> None:
        gate.wait(30)

    with pytest.raises(TimeoutError, match=r"^任务 train 执行超时 \(0.05秒\)$"):
        train()


def test_it_works_in_any_thread(gate: threading.Event) -> None:
    @timeout("50ms")
    def train() -> None:
        gate.wait(30)

    with ThreadPoolExecutor(1) as pool, pytest.raises(TimeoutError, match="执行超时"):
        pool.submit(train).result()


def test_results_and_errors_come_through() -> None:
    @timeout(30)
    def divide(a: int, b: int) -> float:
        return a / b

    assert divide(6, b=3) == 2
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)


def test_the_bodys_own_timeout_error_is_not_ours() -> None:
    @timeout(30)
    def fetch() -> None:
        raise TimeoutError("socket")

    with pytest.raises(TimeoutError, match=r"^socket$"):
        fetch()


def test_even_a_system_exit_reaches_the_caller() -> None:
    @timeout(30)
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        leave()


def test_context_variables_are_seen_in_the_body() -> None:
    tenant: ContextVar[str] = ContextVar("tenant")
    tenant.set("acme")
    assert timeout(30)(tenant.get)() == "acme"


def test_a_coroutine_is_cancelled() -> None:
    ended: list[str] = []

    @timeout(0.02)
    async def poll() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with pytest.raises(TimeoutError, match=r"^任务 poll 执行超时 \(0.02秒\)$"):
        asyncio.run(poll())
    assert ended == ["cancelled"]


def test_a_coroutines_own_timeout_error_is_not_ours() -> None:
    @timeout(30)
    async def fetch(answer: int) -> int:
        if not answer:
            raise TimeoutError("socket")
        return answer

    assert asyncio.run(fetch(3)) == 3
    with pytest.raises(TimeoutError, match=r"^socket$"):
        asyncio.run(fetch(0))


def test_the_limit_is_marked_as_written() -> None:
    @timeout("5m")
    def run() -> None: ...

    assert marks_of(run) == {"timeout": "5m"}
    assert run.__name__ == "run"


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (0, "too short"),
        (-1, "timeout: seconds: -1 is not a duration"),
        (None, "not a duration"),
        (test_it_works_in_any_thread, "parentheses"),
    ],
)
def test_a_wrong_limit_is_named(seconds: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        timeout(seconds)
