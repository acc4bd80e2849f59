"""Policy as it holds in real Runs: decorators, YAML over them, limits in flight, hooks of classes."""

from itertools import pairwise
from typing import Any

import pytest

DECORATED = """
from scheduler import FatalError, RetryableError, retry, timeout
CALLS = []

@retry(max_attempts=3, delay=0.01)
def flaky():
    CALLS.append(1)
    raise ValueError("again")

@retry(max_attempts=5, delay=0.01, give_up_on=[KeyError])
def picky(error="KeyError"):
    raise {"KeyError": KeyError, "Fatal": FatalError, "Retryable": RetryableError}[error]("x")

@timeout(0.1)
def endless():
    while True: pass

@retry(max_attempts=2)
@timeout(60)
def both(): ...
"""
HOOKS = """
import json, os
from pathlib import Path
from scheduler import BaseTask

class Noted(BaseTask):
    def note(self, *words):
        with open(self.path, "a") as file: file.write(json.dumps(words) + "\\n")
    def validate_params(self, path, fail_until): self.path = path; self.note("validate", fail_until); return True
    def on_retry(self, attempt, max_attempts): self.retried = [attempt, max_attempts]
    def on_success(self, result): self.note("success", result)
    def on_failure(self, error): self.note("failure", str(error))
    def cleanup(self): self.note("cleanup", *getattr(self, "retried", []))

class Sync(Noted):
    def execute(self, path, fail_until=2):
        self.note("execute")
        if len(Path(path).read_text().splitlines()) < fail_until * 4 - 2: raise RuntimeError("not yet")
        return "done"

class Async(Noted):
    async def execute(self, path, fail_until=2):
        return Sync.execute(self, path, fail_until)
"""


def decorated(name: str, **policy: Any) -> Any:
    return {name: {"module": f"decorated:{name}", "trigger": "none", **policy}}


@pytest.fixture
def decorated_plugin(desk: Any) -> None:
    desk.plugin("decorated", DECORATED)


@pytest.mark.usefixtures("decorated_plugin")
class TestDecorators:
    def test_retry_on_run_is_what_the_centre_does(self, desk: Any) -> None:
        center = desk.started(decorated("flaky"))
        run = center.wait(center.submit("flaky"))
        assert (run.state, run.reason, run.attempt, run.claims) == ("dead", "error", 3, 3)
        assert desk.module("decorated").CALLS == [1, 1, 1]

    def test_the_tasks_own_yaml_wins(self, desk: Any) -> None:
        center = desk.started(decorated("flaky", max_attempts=2))
        run = center.wait(center.submit("flaky"))
        assert (run.state, run.attempt) == ("dead", 2)
        assert center.task("flaky").backoff.interval_ms == 10  # what YAML does not say is the decorator's

    def test_defaults_of_the_file_lose_against_decorators(self, desk: Any) -> None:
        center = desk.center("""\
            defaults: {max_attempts: 9, timeout: 7}
            tasks: {both: {module: "decorated:both", trigger: none}}
            """)
        assert set(center.catalogue.tasks) == {"both"}
        assert (center.task("both").max_attempts, center.task("both").timeout_ms) == (2, 60_000)

    @pytest.mark.parametrize(("error", "state", "attempt"), [("KeyError", "failed", 1), ("Fatal", "failed", 1), ("Retryable", "dead", 5)])
    def test_errors_that_end_it_at_once(self, desk: Any, error: Any, state: str, attempt: Any) -> None:
        center = desk.started(decorated("picky"))
        run = center.wait(center.submit("picky", {"error": error}))
        assert (run.state, run.attempt) == (state, attempt)

    @pytest.mark.usefixtures("untraced")
    @pytest.mark.parametrize("executor", ["default", "processpool"])
    def test_timeout_on_run_is_a_deadline(self, desk: Any, executor: str) -> None:
        center = desk.started(decorated("endless", executor=executor))
        run = center.wait(center.submit("endless"))
        assert (run.state, run.reason, run.error["message"]) == ("failed", "timed_out", "任务 endless 执行超时 (0.1秒)")
        assert run.ended_ms - run.started_ms < 2000


@pytest.mark.parametrize(
    ("name", "executor"), [("Sync", "default"), ("Sync", "processpool"), ("Async", "asyncio"), ("Async", "processpool")]
)
def test_the_hooks_of_a_class(desk: Any, name: str, executor: str) -> None:
    desk.plugin("hooks", HOOKS)
    center = desk.started(
        {"hooked": {"module": f"hooks:{name}", "trigger": "none", "executor": executor, "max_attempts": 3, "retry_delay": 0}}
    )
    path = desk.folder / "notes"
    run = center.wait(center.submit("hooked", {"path": str(path)}))
    assert (run.state, run.result, run.attempt) == ("succeeded", "done", 2)
    assert path.read_text().splitlines() == [
        '["validate", 2]',
        '["execute"]',
        '["failure", "not yet"]',
        '["cleanup"]',
        '["validate", 2]',
        '["execute"]',
        '["success", "done"]',
        '["cleanup", 2, 3]',
    ]


def test_a_concurrency_key_bounds_what_is_at_work(desk: Any) -> None:
    task = {"module": "simple:hold", "trigger": "none", "concurrency_key": "{params.tenant}", "max_instances": 1}
    desk.plugin("keyed", "from simple import GO\ndef run(tenant): GO.wait(20)")
    center = desk.started({"keyed": {**task, "module": "keyed"}})
    first = [center.submit("keyed", {"tenant": "a"}) for _ in range(3)]
    other = center.submit("keyed", {"tenant": "b"})
    desk.await_state(center, first[0], "running")
    desk.await_state(center, other, "running")
    assert [center.get_run(run).state for run in first[1:]] == ["pending", "pending"]
    desk.until(lambda: [(lane["reason"], lane["depth"]) for lane in center.stats()["closed"]] == [("concurrency", 2)])
    desk.module().GO.set()
    ended = [center.wait(run) for run in first]
    assert all(before.ended_ms <= after.started_ms for before, after in pairwise(ended))


def test_a_rate_limit_holds(desk: Any) -> None:
    center = desk.started({"simple": {"trigger": "none", "rate_limit": "2/400ms"}})
    runs = center.submit_many(["simple"] * 4)
    started = sorted(center.wait(run).started_ms for run in runs)
    assert started[1] - started[0] < 150  # a burst of two
    assert started[3] - started[0] >= 400  # then one every 200 ms


def test_a_schedule_fires_through_the_queue(desk: Any) -> None:
    center = desk.started({"simple": {"trigger": "interval", "args": {"seconds": 1}, "params": {"x": "fired"}}})
    run = desk.until(lambda: next((run for run in center.queue.find(task="simple") if run.ended), None))
    assert (run.state, run.result, run.schedule) == ("succeeded", "fired", "simple")
    assert run.scheduled_ms % 1000 == 0
    assert run.id.startswith("simple@")
