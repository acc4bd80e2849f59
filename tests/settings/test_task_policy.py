"""From a task's keys, the file's defaults and the decorators' marks to the core's Task and Schedule."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from scheduler.core.backoff import Backoff
from scheduler.core.errors import ConfigError
from scheduler.core.task import GpuNeed, RateLimit, Schedule, Task
from scheduler.settings import TaskEntry
from scheduler.settings.env import Centre

Entry = Callable[..., TaskEntry]


@pytest.fixture
def entry(deployment: Any) -> Entry:
    """The task ``t`` with the given keys, in flow style, and the file's defaults."""

    def make(keys: str = "", defaults: str = "") -> TaskEntry:
        text = f"defaults: {{{defaults}}}\ntasks:\n  t: {{{keys}}}\n"
        return deployment.write("config/dev.yaml", text).load().tasks["t"]

    return make


FULL = """
tasks:
  data_sync:
    description: pull new records from the API
    trigger: cron
    args: {expression: "0 9 * * 1-5", timezone: Europe/Berlin}
    params: {source: api, batch_size: 100}
    executor: processpool
    queue: gpu
    priority: 9
    max_attempts: 3
    retry_delay: 10
    backoff: {strategy: exponential, multiplier: 3, max_delay: 1h, jitter: full}
    retry_on: [ConnectionError]
    give_up_on: ValueError
    timeout: 5m
    rate_limit: ["5/1m", {max_calls: 100, time_window: 1d}]
    max_instances: 2
    overlap: skip
    misfire: run_all
    misfire_grace_time: 1m
    coalesce: true
    catch_up_max: 7
    concurrency_key: "{params.tenant}"
    gpu: {min_memory_gb: 4, max_utilization: 20, count: 2}
    memory_limit: 2GiB
    isolation: fresh
    depends_on: extract
    on_failure: [feishu]
    on_success: []
    on_recovery: ops
    sla: {every: 1d}
    tags: [etl]
    owner: data-team
    enabled: true
    on_remove: keep
    module: jobs.sync:main
  extract: {trigger: none}
"""


def test_every_key(deployment: Any) -> None:
    settings = deployment.write("config/dev.yaml", FULL).load()
    entry = settings.tasks["data_sync"]
    assert entry.to_task("jobs.sync:main", {}, version="abc") == Task(
        name="data_sync",
        target="jobs.sync:main",
        description="pull new records from the API",
        executor="processpool",
        queue="gpu",
        priority=9,
        params={"source": "api", "batch_size": 100},
        max_attempts=3,
        backoff=Backoff(10_000, "exponential", 3, 3_600_000, "full"),
        retry_on=("ConnectionError",),
        give_up_on=("ValueError",),
        timeout_ms=300_000,
        rate_limits=(RateLimit(5, 60_000), RateLimit(100, 86_400_000)),
        max_instances=2,
        concurrency_key="{params.tenant}",
        gpu=GpuNeed(4096, 20, 2),
        memory_limit=2 * 2**30,
        isolation="fresh",
        version="abc",
        tags=("etl",),
        owner="data-team",
    )
    assert entry.to_schedule(settings.scheduler) == Schedule(
        name="data_sync",
        task="data_sync",
        trigger="cron",
        args={"expression": "0 9 * * 1-5", "timezone": "Europe/Berlin"},
        timezone="Europe/Berlin",
        misfire="run_all",
        misfire_grace_ms=60_000,
        coalesce=True,
        catch_up_max=7,
        overlap="skip",
        max_instances=2,
    )
    config = entry.config
    assert (config.depends_on, config.on_failure, config.on_success, config.on_recovery) == (("extract",), ("feishu",), (), ("ops",))
    assert (config.sla.every, config.on_remove, entry.module) == (timedelta(days=1), "keep", "jobs.sync:main")


def test_the_defaults_are_those_of_the_core(entry: Entry) -> None:
    assert entry().to_task("t:run", {}) == Task(name="t", target="t:run")
    assert entry().to_schedule(Centre()) == Schedule(name="t", task="t", trigger="interval", timezone="Asia/Shanghai")
    assert entry().module == "t"


def test_task_and_schedule_survive_json(deployment: Any) -> None:
    settings = deployment.write("config/dev.yaml", FULL).load()
    task = settings.tasks["data_sync"].to_task("x:run", {})
    schedule = settings.tasks["data_sync"].to_schedule(settings.scheduler)
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task
    assert Schedule.from_dict(json.loads(json.dumps(schedule.to_dict()))) == schedule


MARKS = {
    "timeout": 300,
    "rate_limit": {"max_calls": 5, "time_window": 60},
    "max_attempts": 3,
    "retry_delay": 1,
    "backoff": {"strategy": "fixed", "multiplier": 2, "max_delay": 3600, "jitter": "none"},
    "retry_on": ("ConnectionError",),
    "gpu": {"min_memory_gb": 4, "max_utilization": 20, "count": 1},
    "metric": "enhanced",
    "log_runs": True,
}


def test_decorators_win_over_the_defaults_of_the_file(entry: Entry) -> None:
    task = entry(defaults="max_attempts: 9, timeout: 1, priority: 8").to_task("t:run", MARKS)
    assert (task.max_attempts, task.timeout_ms, task.priority) == (3, 300_000, 8)
    assert (task.rate_limits, task.retry_on, task.gpu) == ((RateLimit(5, 60_000),), ("ConnectionError",), GpuNeed(4096, 20, 1))
    assert (task.backoff.interval_ms, task.metric, task.log_runs) == (1_000, "enhanced", True)


def test_the_keys_of_the_task_win_over_decorators(entry: Entry) -> None:
    task = entry("max_attempts: 1, exec_timeout: 7, rate_limit: [], gpu: null, retry_on: []").to_task("t:run", MARKS)
    assert (task.max_attempts, task.timeout_ms, task.rate_limits, task.gpu, task.retry_on) == (1, 7_000, (), None, ())
    assert task.backoff.interval_ms == 1_000


def test_null_takes_a_default_of_the_file_back(entry: Entry) -> None:
    assert entry("timeout: null", defaults="task_timeout: 5").to_task("t:run", {}).timeout_ms is None


def test_a_mapping_replaces_the_weaker_one_entirely(entry: Entry) -> None:
    assert entry("params: {b: 2}", defaults="params: {a: 1}").config.params == {"b": 2}


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ({"max_attempts": 0}, "plug:run: a decorator says of task t: max_attempts must be a whole number from 1 to 10000"),
        ({"timeot": 5}, 'plug:run: a decorator says of task t: timeot: unknown key "timeot"; did you mean timeout?'),
        ({"rate_limit": {"max_calls": 5}}, "plug:run: a decorator says of task t: rate_limit.time_window is missing; it has no default"),
    ],
)
def test_wrong_marks(marks: dict[str, object], message: str, entry: Entry) -> None:
    with pytest.raises(ConfigError) as caught:
        entry("args: {minutes: 1}").to_task("plug:run", marks)
    assert caught.value.problems == [message]


@pytest.mark.parametrize(
    ("keys", "backoff"),
    [
        ("", Backoff()),
        ("retry_delay: 30", Backoff(30_000)),
        ("retry_delay: 2h", Backoff(7_200_000, max_delay_ms=7_200_000)),
        ("backoff: {}", Backoff(1_000, "exponential")),
        ("backoff: {strategy: linear, max_delay: 10}", Backoff(1_000, "linear", max_delay_ms=10_000)),
        ("backoff: {strategy: exponential}, retry_delay: 30", Backoff(30_000, "exponential")),
        ("backoff: {strategy: exponential}, retry_delay: 0", Backoff(0, "exponential")),
        ("backoff: {strategy: fixed, max_delay: 1h}, retry_delay: 2h", Backoff(7_200_000, "fixed", max_delay_ms=7_200_000)),
        ("backoff: {strategy: exponential, max_delay: 1h}, retry_delay: 2h", Backoff(7_200_000, "exponential", max_delay_ms=3_600_000)),
    ],
)
def test_backoff(keys: str, backoff: Backoff, entry: Entry) -> None:
    assert entry(keys).to_task("t:run", {}).backoff == backoff


@pytest.mark.parametrize(
    ("written", "limits"),
    [
        ('"5/1m"', ((5, 60_000),)),
        ("10/s", ((10, 1_000),)),
        ('"5 / 60"', ((5, 60_000),)),
        ('"100000/d"', ((100_000, 86_400_000),)),
        ("{max_calls: 5, time_window: 60}", ((5, 60_000),)),
        ('["10/s", "100/1h30m"]', ((10, 1_000), (100, 5_400_000))),
        ("null", ()),
        ("[]", ()),
    ],
)
def test_rate_limits(written: str, limits: tuple[tuple[int, int], ...], entry: Entry) -> None:
    assert entry(f"rate_limit: {written}").to_task("t:run", {}).rate_limits == tuple(RateLimit(*limit) for limit in limits)


@pytest.mark.parametrize("keys", ["min_memory_gb: 4, max_utilization: 20", "min_gpu_memory_gb: 4, min_gpu_utilization: 20"])
def test_gpu_under_both_names(keys: str, entry: Entry) -> None:
    assert entry(f"gpu: {{{keys}}}").to_task("t:run", {}).gpu == GpuNeed(4096, 20, 1)


@pytest.mark.parametrize("name", ["timeout", "exec_timeout", "task_timeout"])
def test_timeout_under_its_three_names(name: str, entry: Entry) -> None:
    assert entry(f"{name}: 5m").to_task("t:run", {}).timeout_ms == 300_000


@pytest.mark.parametrize(
    ("keys", "of_task", "of_schedule"),
    [("", None, 4), ("max_instances: 2", 2, 2), ("max_instances: null", None, 4)],
)
def test_max_instances_of_the_deployment_bounds_the_schedule_only(
    keys: str, of_task: int | None, of_schedule: int, deployment: Any
) -> None:
    deployment.write("env.yaml", "scheduler: {job_defaults: {max_instances: 4}}").write("config/dev.yaml", f"tasks: {{t: {{{keys}}}}}")
    settings = deployment.load()
    assert settings.tasks["t"].to_task("t:run", {}).max_instances == of_task
    assert settings.tasks["t"].to_schedule(settings.scheduler).max_instances == of_schedule


def test_a_schedule_inherits_from_the_deployment(deployment: Any) -> None:
    deployment.write("env.yaml", "scheduler: {timezone: UTC, job_defaults: {coalesce: true, misfire_grace_time: 5}}")
    settings = deployment.write("config/dev.yaml", "tasks: {a: {}, b: {coalesce: false, misfire_grace_time: 0}}").load()
    a, b = (settings.tasks[name].to_schedule(settings.scheduler) for name in "ab")
    assert (a.timezone, a.coalesce, a.misfire_grace_ms) == ("UTC", True, 5_000)
    assert (b.coalesce, b.misfire_grace_ms) == (False, 0)


@pytest.mark.parametrize("keys", ["trigger: none", "enabled: false"])
def test_what_has_no_schedule(keys: str, entry: Entry) -> None:
    assert entry(keys).to_schedule(Centre()) is None


def test_what_comes_from_the_defaults_has_its_place_there(deployment: Any) -> None:
    text = "defaults:\n  timeout: 5\n  args: {hour: 25}\ntasks:\n  a: {}\n  b: {timeout: 6}\n"
    tasks = deployment.write("config/dev.yaml", text).load().tasks
    places = [tasks[name].where(*keys) for name, keys in (("a", ["timeout"]), ("b", ["timeout"]), ("a", ["args", "hour"]))]
    assert places == ["config/dev.yaml:2:12", "config/dev.yaml:6:16", "config/dev.yaml:3:16"]


def test_an_exception_that_is_to_be_retried_and_given_up_on_is_told(deployment: Any) -> None:
    text = "tasks:\n  a:\n    retry_on: [OSError]\n    give_up_on: [OSError, KeyError]\n"
    warning = "config/dev.yaml:3:5: tasks.a.retry_on and give_up_on both name OSError: give_up_on wins"
    assert deployment.write("config/dev.yaml", text).load().warnings == (warning,)


def test_where(deployment: Any) -> None:
    text = """
tasks:
  a:
    trigger: cron
    args:
      hour: 25
      triggers:
        - {minutes: 1}
        - {minutes: 0}
    tags: [x,
           y]
"""
    entry = deployment.write("config/dev.yaml", text).load().tasks["a"]
    assert {keys: entry.where(*keys).removeprefix("config/dev.yaml:") for keys in WHERE} == WHERE


WHERE = {
    (): "3:3",
    ("trigger",): "4:14",
    ("args",): "5:5",
    ("args", "hour"): "6:13",
    ("args", "hour", "deeper"): "6:13",
    ("args", "minute"): "5:5",
    ("args", "triggers"): "7:7",
    ("args", "triggers", 1): "9:11",
    ("args", "triggers", 1, "minutes"): "9:21",
    ("args", "triggers", 5): "7:7",
    ("tags", 1): "11:12",
    ("timeout",): "3:3",
}
