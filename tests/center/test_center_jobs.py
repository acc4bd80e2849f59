"""The job API: schedules for functions of one's own, with the errors that programs know."""

from datetime import UTC, datetime
from typing import Any

import pytest

from scheduler.center import SchedulerCenter
from scheduler.core.errors import ParamsError, PluginError, UnknownTaskError
from scheduler.core.task import Schedule
from scheduler.jobs import JobLookupError, reference
from scheduler.triggers import TriggerError

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
    assert center.add_job("simple:boom", "interval", hours=2, name="ignored").id == "boom"


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
    center.add_job("simple:run", "interval", hours=1, id="mine")
    center.shutdown()
    again = desk.started({"hourly": {**HOUR, "module": "simple"}})
    assert [job.id for job in again.get_jobs()] == ["hourly", "mine"]
    again.add_job("simple:run", "interval", hours=1, id="mine", replace_existing=True)
    assert again.wait(again.submit("mine", {"x": 3})).result == 3


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
