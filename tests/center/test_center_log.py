"""What the log of a program says that uses the centre as a library: how its Runs end, and what cannot be loaded."""

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from scheduler.observe.event_log import LINES_PER_S
from scheduler.service import Service

ROOT = Path(__file__).resolve().parents[2]
TASKS = {
    "simple": {"trigger": "none"},
    "boom": {"module": "simple:boom", "trigger": "none"},
    "stubborn": {"module": "simple:boom", "trigger": "none", "max_attempts": 2, "retry_delay": 0},
}


@pytest.fixture
def lines(desk: Any, caplog: pytest.LogCaptureFixture) -> Any:
    """(level, message, run, task, attempt) of each line about a Run, once there are so many."""
    caplog.set_level(logging.INFO)

    def read(count: int) -> list[Any]:
        def there() -> list[Any]:
            return [record for record in caplog.records if record.name == "scheduler.runs"]

        desk.until(lambda: len(there()) >= count)
        told = map(vars, there())
        return [(*(facts[name] for name in ("levelname", "message", "run", "task", "attempt")),) for facts in told]

    return read


def test_success_failure_and_retry_are_logged_with_their_facts(desk: Any, lines: Any) -> None:
    center = desk.started(TASKS)
    good, bad, stubborn = (center.submit(task) for task in ("simple", "boom", "stubborn"))
    for run in (good, bad, stubborn):
        center.wait(run)
    assert sorted(lines(4)) == sorted(
        [
            ("INFO", "任务 simple 执行成功", good, "simple", 1),
            ("ERROR", "任务 boom 执行失败: ValueError: no", bad, "boom", 1),
            ("WARNING", "任务执行失败 (第1次尝试): stubborn: ValueError: no", stubborn, "stubborn", 1),
            ("ERROR", "任务 stubborn 执行失败: ValueError: no", stubborn, "stubborn", 2),
        ]
    )


def test_the_last_lines_come_before_the_end(desk: Any, lines: Any) -> None:
    center = desk.started({**TASKS, "hold": {"module": "simple:hold", "trigger": "none"}})
    held = center.submit("hold")
    desk.await_state(center, held, "running")
    stopper = threading.Thread(target=center.shutdown)
    stopper.start()
    desk.until(lambda: not center.is_running)
    desk.module().GO.set()
    stopper.join(5)
    assert ("INFO", "任务 hold 执行成功", held, "hold", 1) in lines(0)


def test_what_is_beyond_the_bound_is_summed_up_at_the_end(desk: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    center = desk.started(TASKS)
    for run in center.submit_many([("simple", {})] * (10 * LINES_PER_S)):
        center.wait(run)
    center.shutdown()
    records = [record for record in caplog.records if record.name == "scheduler.runs"]
    counts = [vars(record).get("count", 1) for record in records]
    assert (sum(counts), len(records) < 10 * LINES_PER_S) == (10 * LINES_PER_S, True)


def test_each_end_is_logged_by_the_instance_that_ran_it(desk: Any, lines: Any) -> None:
    worker, timer = desk.center(TASKS), desk.center(TASKS)
    worker.start(["worker"])
    timer.start(["timer"])
    desk.until(lambda: timer.roles.leads)
    runs = [worker.submit("simple") for _ in range(3)]
    for run in runs:
        worker.wait(run)
    worker.shutdown()
    timer.shutdown()
    assert sorted(run for _, _, run, _, _ in lines(0)) == sorted(runs)


def test_a_program_that_only_submits_has_no_reader(desk: Any, lines: Any) -> None:
    center = desk.center(TASKS)
    center.start([])
    assert "watchers" not in {thread.name for thread in threading.enumerate()}
    assert center.roles.pulse.ages().keys() == {"sweeper"}


def test_the_service_logs_what_its_processes_ran_once(desk: Any, lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    center = desk.center(TASKS)
    service = Service(center, ["timer", "worker"])
    service.start()
    runs = [center.submit("simple") for _ in range(3)]
    desk.until(lambda: service._round() or all(center.get_run(run).ended for run in runs))
    service._stop.set()
    assert service._end() == 0
    assert sorted(run for _, _, run, _, _ in lines(0)) == sorted(runs)


def test_what_cannot_be_loaded_is_logged_and_the_rest_runs(desk: Any, caplog: pytest.LogCaptureFixture) -> None:
    desk.plugin("empty", "WORDS = 1")
    center = desk.started({"simple": {"trigger": "none"}, "empty": {"args": {"minutes": 1}}, "ghost": {"args": {"minutes": 1}}})
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [line.split(":")[0] for line in errors] == ["加载任务失败 empty", "加载任务失败 ghost"]
    assert "任务模块 empty 没有 'run' 函数" in errors[0]
    assert center.wait(center.submit("simple")).state == "succeeded"


def test_an_idle_centre_in_a_program_asks_its_store_little(desk: Any, client: Any) -> None:
    center = desk.started(TASKS)
    center.wait(center.submit("simple"))
    desk.until(lambda: center.roles.leads)
    pause = threading.Event()
    pause.wait(1.0)
    before = client.info("stats")["total_commands_processed"]
    pause.wait(3.0)
    assert (client.info("stats")["total_commands_processed"] - before) / 3 < 20
