"""The job API: schedules for functions of one's own, with the errors that programs know."""

from datetime import UTC, datetime
from typing import Any

import pytest
from apscheduler.triggers.interval import IntervalTrigger

from scheduler.center import SchedulerCenter
from scheduler.core.errors import ParamsError, PluginError, UnknownTaskError
from scheduler.core.task import RateLimit, Schedule, Task
from scheduler.jobs import JobLookupError, reference
from scheduler.triggers import TriggerError

DECORATED = """
from scheduler import retry, timeout

@retry(max_attempts=5, delay=7)
@timeout(90)
async def work(): return "done"
"""
HOUR = {"trigger": "interval", "args": {"hours": 1}}


@pytest.fixture
def center(desk: Any) -> Any:
    return desk.started({"hourly": {**HOUR, "module": "simple"}})


def method_of_a_class() -> Any:
    class Inner:
        def method(self) -> None: ...

    return Inner.method


# ── Not running ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "call",
    [
        lambda center: center.add_job("simple:run", "interval", seconds=1),
        lambda center: center.remove_job("hourly"),
        lambda center: center.pause_job("hourly"),
        lambda center: center.resume_job("hourly"),
    ],
)
def test_a_stopped_centre_has_no_jobs(desk: Any, call: Any) -> None:
    center = desk.center({"hourly": {**HOUR, "module": "simple"}})
    assert center.get_jobs() == []
    with pytest.raises(RuntimeError, match=r"^调度器未运行$"):
        call(center)


# ── Adding ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_fires(desk: Any, center: SchedulerCenter) -> None:
    job = center.add_job("simple:run", "interval", seconds=1, id="fast", kwargs={"x": 7}, priority=9, max_attempts=2)
    assert (job.id, job.name, job.trigger) == ("fast", "Task_fast", "every second")
    assert abs(job.next_run_time.timestamp() * 1000 - center.book.now_ms()) <= 1000
    run = desk.until(lambda: next((run for run in center.queue.find(task="fast") if run.ended), None))
    assert (run.state, run.result, run.schedule, run.priority) == ("succeeded", 7, "fast", 9)
    assert center.wait(center.submit("fast", {"x": 8})).result == 8


def test_a_function_of_a_module_can_be_given_itself(desk: Any, center: SchedulerCenter) -> None:
    job = center.add_job(desk.module().boom, "cron", hour=9, timezone="Asia/Shanghai", id="at_nine", max_attempts=3, misfire_grace_time=5)
    assert job.next_run_time.astimezone(UTC).strftime("%H:%M") == "01:00"
    schedule = center.book.get_schedule("at_nine")
    assert (schedule.source, schedule.misfire_grace_ms, schedule.coalesce, schedule.max_instances) == ("api", 5000, False, 3)
    assert center.task("at_nine").max_attempts == 3


def test_the_id_is_the_functions_name(center: SchedulerCenter) -> None:
    job = center.add_job("simple:boom", "interval", hours=2, name="Goes off every two hours")
    assert (job.id, job.name) == ("boom", "Goes off every two hours")
    assert [job.name for job in center.get_jobs()] == ["Goes off every two hours", "Task_hourly"]


def test_dates_may_be_dates(center: SchedulerCenter) -> None:
    job = center.add_job("simple:run", "date", run_date=datetime(2100, 1, 1, 9), timezone="UTC", id="once")  # noqa: DTZ001  # as users write it
    assert job.next_run_time == datetime(2100, 1, 1, 9, tzinfo=UTC)


def test_an_id_is_free_until_it_is_replaced(center: SchedulerCenter) -> None:
    center.add_job("simple:run", "interval", hours=1, id="mine", kwargs={"x": 1})
    with pytest.raises(ValueError, match=r"job 'mine' exists already; pass replace_existing=True"):
        center.add_job("simple:run", "interval", hours=2, id="mine")
    center.add_job("simple:run", "interval", hours=2, id="mine", kwargs={"x": 2}, replace_existing=True)
    assert [job.trigger for job in center.get_jobs() if job.id == "mine"] == ["every 2 hours"]
    assert center.wait(center.submit("mine")).result == 2


@pytest.mark.parametrize("replace", [False, True])
def test_tasks_of_the_configuration_are_not_replaced(center: SchedulerCenter, replace: Any) -> None:
    with pytest.raises(ValueError, match=r"'hourly' is a task of the configuration"):
        center.add_job("simple:run", "interval", hours=2, id="hourly", replace_existing=replace)


@pytest.mark.parametrize("func", [lambda: None, method_of_a_class(), "__main__:run", "no such name", "simple:", 5])
def test_only_what_others_can_import(center: SchedulerCenter, func: Any) -> None:
    with pytest.raises(ValueError, match=r"cannot be imported"):
        center.add_job(func, "interval", seconds=1)
    assert [job.id for job in center.get_jobs()] == ["hourly"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (print, "no plugin .builtins"),
        ("nowhere:run", "there is no plugin 'nowhere'"),
        ("simple:rnu", "did you mean 'run'"),
        ("simple:GO", "is Event, not a function"),
    ],
)
def test_a_target_that_is_not_there_is_an_error_now(center: SchedulerCenter, target: Any, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        center.add_job(target, "interval", seconds=1)


@pytest.mark.parametrize("trigger", [IntervalTrigger(seconds=1), "none", None, "intervall"])
def test_a_trigger_is_named(center: SchedulerCenter, trigger: Any) -> None:
    with pytest.raises(ValueError, match="trigger"):
        center.add_job("simple:boom", trigger)


def test_its_params_must_fit_the_function(center: SchedulerCenter) -> None:
    with pytest.raises(ParamsError, match=r"job run: unknown parameter 'y' of simple:run"):
        center.add_job("simple:run", "interval", hours=1, kwargs={"y": 1})


def test_a_job_has_the_policy_of_a_task(center: SchedulerCenter) -> None:
    policy = {"retry_delay": "2s", "timeout": 60, "rate_limit": "5/1m", "retry_on": ["OSError"], "max_attempts": 4, "overlap": "skip"}
    center.add_job("simple:boom", "interval", hours=1, **policy)
    task = center.task("boom")
    assert (task.max_attempts, task.timeout_ms, task.backoff.interval_ms, task.retry_on) == (4, 60_000, 2000, ("OSError",))
    assert task.rate_limits == (RateLimit(5, 60_000),)
    assert center.book.get_schedule("boom").overlap == "skip"


def test_what_decorators_say_holds_and_options_win(desk: Any, center: SchedulerCenter) -> None:
    desk.plugin("decorated", DECORATED)
    center.add_job("decorated:work", "interval", hours=1, max_attempts=2, id="one")
    task = center.task("one")
    assert (task.max_attempts, task.backoff.interval_ms, task.timeout_ms, task.executor) == (2, 7000, 90_000, "asyncio")
    assert center.wait(center.submit("one")).result == "done"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"id": "Not A Name"}, ValueError, "job id 'Not A Name'"),
        ({"id": 7}, ValueError, "job id 7"),
        ({"secnds": 5}, TriggerError, "secnds"),
        ({"timezone": "Mars/Olympus"}, TriggerError, "Mars/Olympus"),
        ({"kwargs": {"x": {1, 2}}}, ParamsError, "JSON"),
        ({"priority": 99}, ValueError, "priority=99"),
        ({"max_attempts": 0}, ValueError, "max_attempts=0"),
        ({"max_attempts": "3"}, ValueError, "max_attempts='3'"),
        ({"queue": "a/b"}, ValueError, "queue='a/b'"),
        ({"executor": "theads"}, ValueError, "executor='theads'"),
        ({"max_instances": 0, "coalesce": 7}, ValueError, "max_instances=0.*coalesce=7"),
        ({"misfire_grace_time": -1}, ValueError, "misfire_grace_time=-1"),
        ({"retry_delay": "soon"}, ValueError, "retry_delay='soon'"),
        ({"args": [7]}, ValueError, "give them as kwargs"),
        ({"jobstore": "default"}, TriggerError, "jobstore"),
    ],
)
def test_options_are_held_to_the_rules_of_a_task_file(center: SchedulerCenter, options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        center.add_job("simple:boom", "interval", **{"hours": 1, **options})
    assert [job.id for job in center.get_jobs()] == ["hourly"]
    assert center.find_task("boom") is None


# ── Pausing, removing, listing ────────────────────────────────────────────────────────────────────────────────────────


def test_a_paused_job_has_no_next_fire(center: SchedulerCenter) -> None:
    center.pause_job("hourly")
    assert center.get_jobs()[0].next_run_time is None
    center.resume_job("hourly")
    assert center.get_jobs()[0].next_run_time is not None


def test_a_removed_job_is_forgotten_with_its_pause(center: SchedulerCenter) -> None:
    center.add_job("simple:run", "interval", hours=1, id="mine")
    center.pause_job("mine")
    center.remove_job("mine")
    assert [job.id for job in center.get_jobs()] == ["hourly"]
    assert center.add_job("simple:run", "interval", hours=1, id="mine").next_run_time is not None


@pytest.mark.parametrize("name", ["remove_job", "pause_job", "resume_job"])
def test_an_unknown_job_names_the_nearest(center: SchedulerCenter, name: str) -> None:
    with pytest.raises(JobLookupError, match=r"no job 'hurly'; did you mean 'hourly'"):
        getattr(center, name)("hurly")


def test_one_schedule_that_cannot_be_built_here_hides_no_other(center: SchedulerCenter) -> None:
    args = {"class": "elsewhere:Trigger"}
    center.book.save_schedules([Schedule(name="foreign", task="hourly", trigger="custom", args=args, source="api")])
    foreign, hourly = center.get_jobs()
    assert (foreign.id, foreign.next_run_time) == ("foreign", None)
    assert "elsewhere" in foreign.trigger
    assert hourly.next_run_time is not None


def test_jobs_outlive_the_process_that_added_them(desk: Any, center: SchedulerCenter) -> None:
    center.add_job("simple:run", "interval", seconds=1, id="mine", kwargs={"x": 3}, priority=8)
    center.shutdown()
    earlier = {run.id for run in desk.center({}).queue.find(task="mine")}
    again = desk.started({"hourly": {**HOUR, "module": "simple"}})
    assert [job.id for job in again.get_jobs() if job.next_run_time] == ["hourly", "mine"]
    fired = desk.until(lambda: next((run for run in again.queue.find(task="mine") if run.ended and run.id not in earlier), None))
    assert (fired.state, fired.result, fired.priority) == ("succeeded", 3, 8)
    assert again.wait(again.submit("mine", {"x": 4})).result == 4


def test_another_instance_runs_them_too_and_learns_of_changes(desk: Any, center: SchedulerCenter) -> None:
    other = desk.started({"hourly": {**HOUR, "module": "simple"}})
    center.add_job("simple:run", "interval", hours=1, id="mine", kwargs={"x": 1})
    center.shutdown()
    assert other.wait(other.submit("mine")).result == 1
    other.add_job("simple:run", "interval", hours=1, id="mine", kwargs={"x": 2}, replace_existing=True)
    assert other.wait(other.submit("mine")).result == 2


def test_what_no_worker_can_import_waits_for_one_that_can(desk: Any, center: SchedulerCenter) -> None:
    task = Task(name="elsewhere", target="not_here:run")
    center.queue.define([task], added=True)
    center._added.forget()
    waiting = center.submit("elsewhere")
    desk.until(lambda: any(lane["reason"] == "no_worker" for lane in center.stats()["closed"]))
    desk.plugin("not_here", "def run(): return 'at last'")
    center.learn(task)
    assert center.wait(waiting).result == "at last"


def test_what_waits_of_a_removed_job_is_cancelled(desk: Any, center: SchedulerCenter) -> None:
    center.add_job("simple:run", "interval", hours=1, id="mine")
    later, held = center.submit("mine", delay=600), center.submit("mine", priority=1)
    center.wait(held)
    center.queue.pause("task", "mine")
    waiting = [center.submit("mine") for _ in range(3)]
    center.remove_job("mine")
    assert {(run.state, run.reason) for run in map(center.get_run, [later, *waiting]) if run} == {("cancelled", "task_removed")}
    with pytest.raises(UnknownTaskError):
        center.submit("mine")


def test_a_definition_that_cannot_be_read_is_left_alone(center: SchedulerCenter, caplog: pytest.LogCaptureFixture) -> None:
    center.queue.client.hset(f"{center.queue.prefix}tasks", "odd", '{"name": "odd"')
    center.add_job("simple:run", "interval", hours=1, id="mine")
    assert center.task("mine").target == "simple:run"
    assert "task odd: its definition in the store cannot be read" in caplog.text


def test_a_job_whose_task_is_gone_has_no_next_fire(center: SchedulerCenter) -> None:
    center.add_job("simple:run", "interval", hours=1, id="mine")
    center.queue.client.hdel(f"{center.queue.prefix}tasks", "mine")
    center.queue.client.hincrby(f"{center.queue.prefix}meta", "generation", 1)
    center._added.forget()
    assert {job.id: job.next_run_time is None for job in center.get_jobs()} == {"hourly": False, "mine": True}


# ── Many schedules of known tasks ─────────────────────────────────────────────────────────────────────────────────────


def test_many_schedules_at_once(center: SchedulerCenter) -> None:
    center.add_schedules(
        [Schedule(name=f"s{n}", task="hourly", trigger="interval", args={"hours": n + 1}, source="api") for n in range(300)]
    )
    assert len(center.get_jobs()) == 301
    with pytest.raises(UnknownTaskError, match=r"did you mean 'hourly'"):
        center.add_schedules([Schedule(name="x", task="hurly", trigger="interval")])
    with pytest.raises(ValueError, match=r"'No Name' is no name of a schedule"):
        center.add_schedules([Schedule(name="No Name", task="hourly", trigger="interval")])


def test_the_reference_of_a_function() -> None:
    assert reference(test_a_stopped_centre_has_no_jobs).endswith(":test_a_stopped_centre_has_no_jobs")
    assert reference("pkg.mod:run") == "pkg.mod:run"
    assert reference("mod") == "mod"
