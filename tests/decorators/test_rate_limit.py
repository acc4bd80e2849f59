import asyncio
import gc
from typing import Any

import pytest
from freezegun import freeze_time

from scheduler.core.marks import marks_of
from scheduler.decorators import rate_limit


def test_a_call_too_many_is_refused_until_the_window_has_slid() -> None:
    @rate_limit(max_calls=2, time_window=60)
    def run() -> str:
        return "ok"

    with freeze_time("2026-03-01 10:00:00") as frozen:
        assert run() == "ok"
        frozen.tick(40)
        assert run() == "ok"
        frozen.tick(15)
        with pytest.raises(RuntimeError, match=r"^任务 run 超过速率限制: 2 calls per 60 seconds$"):
            run()
        frozen.tick(10)  # 65 s after the first: it has left the window, the second has not
        assert run() == "ok"
        with pytest.raises(RuntimeError):
            run()


def test_each_decorated_function_has_its_own_window() -> None:
    def run() -> int:
        return 1

    first, second = rate_limit(1, 60)(run), rate_limit(1, 60)(run)
    assert first() + second() == 2


def test_all_of_several_limits_must_hold() -> None:
    @rate_limit(100, "1h")
    @rate_limit(1, 10)
    def run() -> int:
        return 1

    run()
    with pytest.raises(RuntimeError, match="1 calls per 10 seconds"):
        run()
    assert marks_of(run) == {"rate_limit": [{"max_calls": 100, "time_window": "1h"}, {"max_calls": 1, "time_window": 10}]}


def test_three_stacked_make_one_list() -> None:
    @rate_limit(3, 3)
    @rate_limit(2, 2)
    @rate_limit(1, 1)
    def run() -> None: ...

    assert [limit["max_calls"] for limit in marks_of(run)["rate_limit"]] == [3, 2, 1]


def test_one_limit_is_marked_as_in_the_task_file() -> None:
    @rate_limit(max_calls=5, time_window=60)
    def run() -> None: ...

    assert marks_of(run) == {"rate_limit": {"max_calls": 5, "time_window": 60}}
    assert run.__name__ == "run"


def test_coroutines_too() -> None:
    @rate_limit(1, 60)
    async def run() -> str:
        return "ok"

    assert asyncio.run(run()) == "ok"
    with pytest.raises(RuntimeError, match="任务 run 超过速率限制"):
        asyncio.run(run())


def test_in_redis_the_limit_holds_for_the_name_across_processes(server: Any, client: Any) -> None:
    def run() -> str:
        return "ok"

    async def arun() -> str:
        return "ok"

    arun.__qualname__ = run.__qualname__  # the same task in another process, there a coroutine
    here, there = rate_limit(2, 3600, storage=server.url)(run), rate_limit(2, 3600, storage=server.url)(arun)
    assert here() == "ok"
    assert asyncio.run(there()) == "ok"
    with pytest.raises(RuntimeError):
        here()
    with pytest.raises(RuntimeError):
        asyncio.run(there())
    assert client.keys("*")
    del here, there
    gc.collect()  # closes the connections now, not in somebody else's test


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 60), "rate_limit: max_calls: 0 is not a whole number from 1"),
        ((5, 0.5), "rate_limit: time_window: 0.5 is too short, at least 1 seconds"),
        ((5, 1.5), "rate_limit: time_window: 1.5 is not a whole number of seconds"),
        ((5, "often"), "rate_limit: time_window: 'often' is not a duration"),
    ],
)
def test_a_wrong_argument_is_named(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rate_limit(*arguments)


@pytest.mark.parametrize(
    ("storage", "message"),
    [("localhost", "is not a URL"), ("rdis://host", "did you mean 'redis'"), ("mysql://host", "is none of redis, rediss, unix")],
)
def test_a_wrong_storage_is_named(storage: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rate_limit(1, 60, storage=storage)
