import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

import pytest

from scheduler.core import clock
from scheduler.core.errors import FatalError, RetryableError
from scheduler.core.marks import marks_of, unmarked
from scheduler.decorators import retry


class Flaky:
    """Fails with the given errors in turn, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, value: int = 7) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return value


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(clock, "sleep", slept.append)
    return slept


def decorated(flaky: Flaky, **policy: Any) -> Callable[..., int]:
    @retry(**policy)
    def sync_data(value: int = 7) -> int:
        """Copies."""
        return flaky(value)

    return sync_data


def test_returns_the_first_success(naps: list[float]) -> None:
    flaky = Flaky(OSError("1"), OSError("2"))
    assert decorated(flaky)(9) == 9
    assert flaky.calls == 3
    assert naps == [0, 0]


def test_raises_the_last_error_when_attempts_are_used_up(naps: list[float]) -> None:
    flaky = Flaky(OSError("1"), OSError("2"), OSError("3"))
    with pytest.raises(OSError, match="2"):
        decorated(flaky, max_attempts=2)()
    assert flaky.calls == 2


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"delay": 2}, [2, 2, 2]),
        ({"delay": "2s", "backoff": "linear"}, [2, 4, 6]),
        ({"delay": 1, "backoff": "exponential", "multiplier": 3}, [1, 3, 9]),
        ({"delay": 1, "backoff": "exponential", "multiplier": 3, "max_delay": 5}, [1, 3, 5]),
    ],
)
def test_waits_by_the_strategy(naps: list[float], policy: dict[str, Any], expected: list[float]) -> None:
    decorated(Flaky(*[OSError()] * 3), max_attempts=4, **policy)()
    assert naps == expected


def test_full_jitter_stays_within_the_delay(naps: list[float]) -> None:
    decorated(Flaky(*[OSError()] * 50), max_attempts=51, delay=2, jitter="full")()
    assert all(0 <= nap <= 2 for nap in naps)
    assert len(set(naps)) > 1


@pytest.mark.parametrize(
    ("error", "policy", "calls"),
    [
        (FatalError("no"), {}, 1),
        (FatalError("no"), {"retry_on": [FatalError]}, 1),
        (RetryableError("again"), {"give_up_on": [Exception]}, 2),
        (ConnectionResetError("x"), {"retry_on": [ConnectionError]}, 2),
        (ConnectionResetError("x"), {"retry_on": "ConnectionError"}, 2),
        (ConnectionResetError("x"), {"retry_on": ["builtins.OSError"]}, 2),
        (ValueError("x"), {"retry_on": ConnectionError}, 1),
        (ValueError("x"), {"give_up_on": [ValueError]}, 1),
    ],
)
def test_which_errors_are_tried_again(naps: list[float], error: Exception, policy: dict[str, Any], calls: int) -> None:
    flaky = Flaky(error)
    wrapped = decorated(flaky, **policy)
    if calls == 1:
        with pytest.raises(type(error)):
            wrapped()
    else:
        assert wrapped() == 7
    assert flaky.calls == calls


def test_control_exceptions_pass_through() -> None:
    flaky = Flaky(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        decorated(flaky)()
    assert flaky.calls == 1


def test_each_failed_attempt_leaves_a_line(naps: list[float], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        decorated(Flaky(OSError("disk")))()
    assert caplog.messages == ["任务执行失败 (第1次尝试): disk"]
    assert caplog.records[0].name == __name__


def test_a_coroutine_function_stays_one() -> None:
    flaky = Flaky(OSError("1"), OSError("2"))

    @retry(max_attempts=3, delay="1ms")
    async def fetch(value: int) -> int:
        return flaky(value)

    assert inspect.iscoroutinefunction(fetch)
    assert asyncio.run(fetch(5)) == 5
    flaky.errors = [FatalError("stop")]
    with pytest.raises(FatalError):
        asyncio.run(fetch(5))


def test_the_policy_is_marked_as_in_the_task_file() -> None:
    wrapped = decorated(Flaky(), max_attempts=5, delay="10s", backoff="exponential", jitter="full", retry_on=[OSError, "HTTPError"])
    assert marks_of(wrapped) == {
        "max_attempts": 5,
        "retry_delay": "10s",
        "backoff": {"strategy": "exponential", "multiplier": 2, "max_delay": 3600, "jitter": "full"},
        "retry_on": ["OSError", "HTTPError"],
    }
    assert wrapped.__name__ == "sync_data"
    assert wrapped.__doc__ == "Copies."
    assert unmarked(wrapped) is wrapped.__wrapped__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_attempts": 0}, "retry: max_attempts: 0 is not a whole number from 1"),
        ({"max_attempts": True}, "retry: max_attempts: True is not"),
        ({"max_attempts": 2.5}, "retry: max_attempts: 2.5 is not"),
        ({"delay": -1}, "retry: delay: -1 is not a duration"),
        ({"max_delay": "soon"}, "retry: max_delay: 'soon' is not a duration"),
        ({"multiplier": -2}, "retry: multiplier: -2 is not a number from 0"),
        ({"backoff": "exponental"}, "did you mean 'exponential'"),
        ({"jitter": "???"}, "retry: jitter: '\\?\\?\\?' is none of none, full, equal$"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        retry(**arguments)


def test_what_is_no_exception_class_is_named() -> None:
    with pytest.raises(TypeError, match="retry: give_up_on: 404 is neither an exception class"):
        retry(give_up_on=[404])


def test_forgotten_parentheses_are_named() -> None:
    with pytest.raises(ValueError, match=r"write @retry\(…\) with parentheses"):

        @retry
        def run() -> None: ...


def test_a_class_is_refused() -> None:
    with pytest.raises(TypeError, match=r"decorate Task.execute"):

        @retry()
        class Task: ...


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="@retry goes on a function, not on 5"):
        retry()(5)
