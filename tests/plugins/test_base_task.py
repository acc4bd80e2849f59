import asyncio
import logging
from typing import Any

import pytest

from scheduler.core.context import current_attempt
from scheduler.plugins.adapter import adapt
from scheduler.tasks.base_task import BaseTask


class Recorded(BaseTask):
    """Writes down the order of calls; ``fail`` names the step that raises."""

    calls: list[Any]
    fail = ""

    def _note(self, step: str, *args: Any) -> None:
        self.calls.append((step, *args) if args else step)
        if self.fail == step:
            raise LookupError(step)

    def execute(self, size: int = 5, **more: Any) -> Any:
        self._note("execute", size)
        return {"size": size, **more}

    def validate_params(self, **kwargs: Any) -> bool:
        self._note("validate", kwargs)
        return kwargs.get("size") != 13

    def on_success(self, result: Any) -> None:
        self._note("success", result)

    def on_failure(self, exception: BaseException) -> None:
        self._note("failure", type(exception).__name__)

    def on_retry(self, attempt: int, max_attempts: int) -> None:
        self._note("retry", attempt, max_attempts)

    def cleanup(self) -> None:
        self._note("cleanup")


def task(fail: str = "") -> type[Recorded]:
    return type("Task", (Recorded,), {"calls": [], "fail": fail})


def steps(cls: type[Recorded]) -> list[str]:
    return [call if isinstance(call, str) else call[0] for call in cls.calls]


def test_the_order_of_a_good_attempt() -> None:
    cls = task()
    assert adapt(cls)(size=3) == {"size": 3}
    assert cls.calls == [("validate", {"size": 3}), ("execute", 3), ("success", {"size": 3}), "cleanup"]


def test_validation_sees_defaults_and_extra_params() -> None:
    cls = task()
    adapt(cls)(extra=1)
    assert cls.calls[0] == ("validate", {"size": 5, "extra": 1})


def test_refused_params_are_a_value_error() -> None:
    cls = task()
    with pytest.raises(ValueError, match=r"Task\.validate_params\(\) refused the params \(size\)"):
        adapt(cls)(size=13)
    assert steps(cls) == ["validate", "failure", "cleanup"]


def test_a_validator_may_raise_for_itself() -> None:
    cls = task("validate")
    with pytest.raises(LookupError, match="validate"):
        adapt(cls)()
    assert steps(cls) == ["validate", "failure", "cleanup"]


@pytest.mark.parametrize(
    ("fail", "expected"),
    [
        ("execute", ["validate", "execute", "failure", "cleanup"]),
        ("success", ["validate", "execute", "success", "failure", "cleanup"]),
    ],
)
def test_a_failing_attempt(fail: str, expected: list[str]) -> None:
    cls = task(fail)
    with pytest.raises(LookupError, match=fail):
        adapt(cls)()
    assert steps(cls) == expected
    assert ("failure", "LookupError") in cls.calls


def test_a_broken_cleanup_changes_no_outcome(caplog: pytest.LogCaptureFixture) -> None:
    assert adapt(task("cleanup"))(size=1) == {"size": 1}
    assert "Task.cleanup() raised; the attempt keeps its outcome" in caplog.text


def test_a_broken_on_failure_hides_no_error(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Recorded):
        calls: list[Any] = []  # noqa: RUF012 -- one test's own class
        fail = "failure"

        def execute(self) -> None:
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        adapt(Broken)()
    assert steps(Broken) == ["validate", "failure", "cleanup"]
    assert "Broken.on_failure() raised" in caplog.text


def test_later_attempts_are_announced() -> None:
    cls = task()
    token = current_attempt.set((2, 5))
    adapt(cls)()
    current_attempt.reset(token)
    assert cls.calls[0] == ("retry", 2, 5)


def test_each_attempt_has_its_own_object() -> None:
    class Counting(BaseTask):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def execute(self) -> int:
            self.count += 1
            return self.count

    adapted = adapt(Counting)
    assert [adapted(), adapted()] == [1, 1]
    assert adapted.__name__ == "Counting"


def test_an_async_execute_is_awaited_between_the_hooks() -> None:
    class Later(Recorded):
        calls: list[Any] = []  # noqa: RUF012 -- one test's own class

        async def execute(self, size: int) -> int:
            await asyncio.sleep(0)
            self._note("execute", size)
            return size

    assert asyncio.run(adapt(Later)(size=2)) == 2
    assert steps(Later) == ["validate", "execute", "success", "cleanup"]


def test_a_cancelled_async_attempt_cleans_up() -> None:
    class Endless(Recorded):
        calls: list[Any] = []  # noqa: RUF012 -- one test's own class

        async def execute(self) -> None:
            await asyncio.get_running_loop().create_future()

    async def cancel() -> None:
        attempt = asyncio.ensure_future(adapt(Endless)())
        await asyncio.sleep(0)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt

    asyncio.run(cancel())
    assert Endless.calls[1:] == [("failure", "CancelledError"), "cleanup"]


def test_wrong_params_are_pythons_own_type_error() -> None:
    class Strict(BaseTask):
        def execute(self, size: int) -> int:
            return size

    with pytest.raises(TypeError, match="size"):
        adapt(Strict)(sise=1)


def test_the_base_class_speaks_as_it_always_did(caplog: pytest.LogCaptureFixture) -> None:
    class Plain(BaseTask):
        def execute(self) -> int:
            return 1

    plain = Plain()
    with caplog.at_level(logging.INFO):
        plain.on_success(1)
        plain.on_failure(ValueError("坏"))
        plain.on_retry(2, 3)
    assert caplog.messages == ["任务 Plain 执行成功", "任务 Plain 执行失败: 坏", "任务 Plain 第 2/3 次重试"]
    assert [record.levelname for record in caplog.records] == ["INFO", "ERROR", "WARNING"]
    assert (plain.task_name, plain.validate_params(any=1), plain.cleanup()) == ("Plain", True, None)
    assert plain.logger.name == "plugin.Plain"


def test_the_base_class_alone_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        BaseTask()


def test_star_args_are_nobodys_params() -> None:
    class Star(BaseTask):
        def execute(self, *args: Any, **kwargs: Any) -> Any:
            return args, kwargs

        def validate_params(self, **kwargs: Any) -> bool:
            return kwargs == {"a": 1}

    assert adapt(Star)(a=1) == ((), {"a": 1})
