"""The modules by the names that older code imports, and older code itself."""

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from scheduler.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("scheduler_center", "tasks.base_task", "triggers.custom_trigger", "decorators.task_decorators")

SYNC = """
    from typing import Dict, Any
    from scheduler.tasks.base_task import BaseTask

    class DataSyncTask(BaseTask):
        '''数据同步任务'''

        def __init__(self):
            super().__init__()
            self.api_url = "https://api.example.com/data"

        def execute(self, source="api", batch_size=100):
            self.logger.info(f"开始数据同步任务 - 来源: {source}, 批次大小: {batch_size}")
            try:
                self.validate_params(source=source, batch_size=batch_size)
                result = {"processed_count": 3, "source": source, "batch_size": batch_size}
                self.on_success(result)
                return result
            except Exception as e:
                self.on_failure(e)
                raise

        def validate_params(self, **kwargs):
            if kwargs.get("source") not in ["api", "database"]:
                raise ValueError("source参数必须是'api'或'database'")
            return True

    def run():
        '''任务入口点 - 由调度器调用'''
        task = DataSyncTask()
        return task.execute()
    """

ENHANCED = """
    from scheduler.decorators.task_decorators import monitor_task, rate_limit, timeout, log_execution

    @monitor_task("enhanced_data_process")
    @rate_limit(max_calls=5, time_window=60)
    @timeout(300)
    @log_execution()
    def run():
        return {"processed_records": 1000, "status": "success"}
    """

HOURS = """
    from scheduler.triggers.custom_trigger import Trigger

    class FullHours(Trigger):
        def next(self, after_ms):
            return (after_ms // 3_600_000 + 1) * 3_600_000
    """


def in_a_new_process(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", inspect.cleandoc(code)],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def place(desk: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the one centre, as in a process that has not used it yet, in the folder of the desk."""
    monkeypatch.chdir(desk.folder)
    module = import_module("scheduler.scheduler_center")
    monkeypatch.setattr(module, "scheduler_center", module._AtFirstUse())
    desk.centers.append(module.scheduler_center)
    return module


def test_importing_all_of_them_reads_nothing_and_connects_to_nothing(tmp_path: Path) -> None:
    code = f"""
        import socket, sys
        def refused(event, args):
            if event.startswith("socket.") or (event == "open" and str(args[0]).endswith(".yaml")): raise SystemExit(f"{{event}} {{args}}")
        sys.addaudithook(refused)
        for place in {PLACES}: __import__("scheduler." + place)
        from scheduler.scheduler_center import scheduler_center
        print(type(scheduler_center).__mro__[1].__name__)
        """
    assert in_a_new_process(code, tmp_path) == "SchedulerCenter"
    assert list(tmp_path.iterdir()) == []


def test_the_names_are_those_of_the_package() -> None:
    import scheduler

    for name in ("monitor_task", "rate_limit", "timeout", "log_execution", "retry", "gpu_gate"):
        assert getattr(import_module("scheduler.decorators.task_decorators"), name) is getattr(scheduler, name)
    assert import_module("scheduler.tasks.base_task").BaseTask is import_module("scheduler.tasks").BaseTask is scheduler.BaseTask
    assert import_module("scheduler.scheduler_center").SchedulerCenter is scheduler.SchedulerCenter


def test_tasks_of_old_run_as_they_are(desk: Any) -> None:
    desk.plugin("data_sync", SYNC)
    desk.plugin("enhanced_task", ENHANCED)
    desk.plugin("hours", HOURS)
    hourly = {"trigger": "custom", "args": {"class": "hours:FullHours"}}
    center = desk.started({"data_sync": {"args": {"minutes": 30}}, "enhanced_task": hourly})
    assert center.wait(center.submit("data_sync")).result == {"processed_count": 3, "source": "api", "batch_size": 100}
    assert center.wait(center.submit("enhanced_task")).result == {"processed_records": 1000, "status": "success"}
    assert center.task("enhanced_task").metric == "enhanced_data_process"
    due = {job.id: job.next_run_time for job in center.get_jobs()}["enhanced_task"]
    assert (due.minute, due.second) == (0, 0)


def test_the_one_centre_works_as_any_other(desk: Any, place: ModuleType) -> None:
    desk.settings({"simple": {"args": {"minutes": 30}}}, {})
    scheduler_center = place.scheduler_center
    assert scheduler_center.is_running is False
    assert scheduler_center.get_jobs() == []
    with pytest.raises(RuntimeError, match="调度器未运行"):
        scheduler_center.pause_job("simple")
    scheduler_center.start()
    status = {
        "is_running": scheduler_center.is_running,
        "jobs_count": len(scheduler_center.get_jobs()),
        "jobs": [
            {
                "id": job.id,
                "name": job.name,
                "next_run_time": job.next_run_time.isoformat() if job.next_run_time else None,
                "trigger": str(job.trigger),
            }
            for job in scheduler_center.get_jobs()
        ],
    }
    assert (status["is_running"], status["jobs_count"]) == (True, 1)
    (job,) = status["jobs"]
    assert (job["id"], job["name"], job["next_run_time"] is None) == ("simple", "Task_simple", False)
    scheduler_center.pause_job("simple")
    assert scheduler_center.get_jobs()[0].next_run_time is None
    scheduler_center.resume_job("simple")
    assert scheduler_center.get_jobs()[0].next_run_time is not None
    assert scheduler_center.wait(scheduler_center.submit("simple", {"x": 5})).result == 5
    scheduler_center.shutdown()
    assert scheduler_center.is_running is False


def test_a_mistake_in_the_configuration_is_told_at_each_use_until_it_is_mended(desk: Any, place: ModuleType) -> None:
    path = desk.settings({"simple": {"args": {"minutes": 30}}}, {"worker": {"procesess": 1}})
    for _ in range(2):
        with pytest.raises(ConfigError, match="procesess"):
            place.scheduler_center.start()
    assert desk.settings({"simple": {"args": {"minutes": 30}}}, {}) == path
    place.scheduler_center.start()
    assert place.scheduler_center.is_running
