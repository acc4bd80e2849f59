"""The seed's own paths and their exact answers."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from scheduler.center import SchedulerCenter
from scheduler.observe.metrics import Metrics
from scheduler.web import WebServer


def test_status(instance: Any) -> None:
    answer = instance.http.get("/scheduler/status")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    status = answer.json()
    assert list(status) == ["is_running", "jobs_count", "jobs"]
    assert (status["is_running"], status["jobs_count"]) == (True, 2)
    hello, report = status["jobs"]
    assert list(hello) == ["id", "name", "next_run_time", "trigger"]
    assert (hello["id"], report["id"]) == ("hello", "report")
    assert datetime.fromisoformat(report["next_run_time"]).tzinfo is not None
    assert all(isinstance(job["trigger"], str) and job["trigger"] for job in status["jobs"])


def test_pause_and_resume(instance: Any) -> None:
    paused = instance.http.post("/scheduler/jobs/report/pause")
    assert (paused.status_code, paused.json()) == (200, {"message": "任务 report 已暂停"})
    assert {job["id"]: job["next_run_time"] for job in instance.get("/scheduler/status")["jobs"]}["report"] is None
    resumed = instance.http.post("/scheduler/jobs/report/resume")
    assert (resumed.status_code, resumed.json()) == (200, {"message": "任务 report 已恢复"})
    assert {job["id"]: job["next_run_time"] for job in instance.get("/scheduler/status")["jobs"]}["report"] is not None


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_an_unknown_job_names_the_nearest(instance: Any, action: str) -> None:
    answer = instance.http.post(f"/scheduler/jobs/reprot/{action}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "no job 'reprot'; did you mean 'report'?",
    }


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[httpx.Client]:
    """The server of a centre that was never started."""
    (tmp_path / "env.yaml").write_text("web: {port: 0}\nscheduler: {tasks: none.yaml}\n")
    (tmp_path / "none.yaml").write_text("tasks: {}\n")
    web = WebServer(SchedulerCenter(tmp_path / "env.yaml"), None, Metrics())
    with httpx.Client(base_url=web.start(), trust_env=False) as client:
        yield client
    web.stop()


def test_a_centre_that_is_not_running(idle: httpx.Client) -> None:
    assert idle.get("/scheduler/status").json() == {"is_running": False, "jobs_count": 0, "jobs": []}
    answer = idle.post("/scheduler/jobs/hello/pause")
    assert (answer.status_code, answer.json()["detail"]) == (503, "调度器未运行")
    assert idle.get("/livez").status_code == 200
    assert idle.get("/readyz").json()["checks"]["centre"] == {"ok": False, "detail": "stopped"}
    assert idle.get("/healthz").json()["store"]["error"] == "调度器未运行"
    assert 'scheduler_state{scheduler_state="stopped"} 1.0' in idle.get("/metrics").text


def test_a_centre_inside_another_program(stores: Callable[[], Any], tmp_path: Path) -> None:
    (tmp_path / "env.yaml").write_text(f"web: {{port: 0}}\nscheduler: {{tasks: none.yaml}}\nredis: {{url: '{stores().url}'}}\n")
    (tmp_path / "none.yaml").write_text("tasks: {}\n")
    with SchedulerCenter(tmp_path / "env.yaml") as center:
        center.start()
        web = WebServer(center, None, Metrics())
        with httpx.Client(base_url=web.start(), trust_env=False) as client:
            assert client.get("/livez").json()["loops"].keys() == {"timer", "sweeper", "watchers"}
            assert client.get("/readyz").json()["checks"].keys() == {"centre", "store", "leader", "worker"}
        web.stop()
