"""What the configuration, the plugins and the triggers say together, and how their mistakes read."""

import re
from typing import Any

import pytest

from scheduler.core.errors import ConfigError, PluginError

EVERY_SECOND = {"trigger": "interval", "args": {"seconds": 1}}
TRIGGERS = """
class Thirds:
    '''Fires at multiples of a third of a second from the next one on.'''
    def __init__(self, every_ms=333): self.every_ms = every_ms
    def next(self, after_ms): return (after_ms // self.every_ms + 1) * self.every_ms
"""


def test_a_broken_plugin_is_one_broken_task(desk: Any, caplog: pytest.LogCaptureFixture) -> None:
    desk.plugin("torn", "def run(:")
    desk.plugin("raising", "1 / 0\ndef run(): ...")
    center = desk.started({"simple": EVERY_SECOND, "torn": EVERY_SECOND, "raising": EVERY_SECOND, "missing": EVERY_SECOND})
    broken = center.catalogue.broken
    assert set(center.catalogue.tasks) == set(center.catalogue.schedules) == {"simple"}
    assert "plugins/torn.py:1: SyntaxError" in broken["torn"]
    assert "plugins/raising.py:1: ZeroDivisionError" in broken["raising"]
    assert broken["missing"].startswith(f"{desk.folder}/tasks.yaml:1:")
    assert "there is no plugin 'missing'" in broken["missing"]
    assert center.wait(center.submit("simple")).state == "succeeded"


def test_a_run_of_a_broken_task_waits_for_the_repair(desk: Any) -> None:
    desk.plugin("torn", "def run(:")
    tasks = {"torn": {"trigger": "none"}, "simple": {"trigger": "none"}}
    run = desk.center(tasks).submit("torn")  # from a program that has not loaded the plugins
    center = desk.started(tasks)
    center.submit("simple")  # whoever takes it sees the other
    desk.until(lambda: [lane["reason"] for lane in center.stats()["closed"]] == ["no_worker"])
    center.shutdown()
    desk.plugin("torn", "def run(): return 'repaired'")
    assert desk.started(tasks).wait(run).result == "repaired"


def test_a_run_of_a_task_that_is_known_to_be_broken_is_refused(desk: Any) -> None:
    desk.plugin("torn", "def run(:")
    center = desk.center({"torn": {"trigger": "none"}})
    with pytest.raises(PluginError, match=re.escape(center.catalogue.broken["torn"])):
        center.submit("torn")
    assert center.stats()["queues"] == {}


def test_wrong_triggers_are_told_all_at_once_with_their_places(desk: Any) -> None:
    center = desk.center(
        """\
        tasks:
          simple:
            trigger: cron
            args: {hour: 25}
          other:
            module: simple
            trigger: interval
            args:
              secnds: 5
        """
    )
    with pytest.raises(ConfigError) as caught:
        _ = center.catalogue
    first, second = caught.value.problems
    assert first.startswith(f"{desk.folder}/tasks.yaml:4:18: hour '25'")
    assert second.startswith(f"{desk.folder}/tasks.yaml:9:15: ")
    assert "did you mean 'seconds'" in second


@pytest.mark.parametrize(
    "keys",
    [
        "trigger: cron, args: {year: ▶2020}",
        "args: {hours: 1, end_date: ▶'2020-12-31'}",
        "trigger: cron, args: {expression: 0 9 * * *, end_date: ▶'2020-12-31'}",
    ],
)
def test_a_trigger_whose_last_instant_has_passed_breaks_its_task_alone(keys: str, desk: Any) -> None:
    text = f"tasks: {{simple: {{{keys}}}, other: {{module: simple, args: {{hours: 1}}}}}}"
    place = f"1:{text.index('▶') + 1}"
    catalogue = desk.center(text.replace("▶", "")).catalogue
    assert catalogue.broken["simple"].startswith(f"{desk.folder}/tasks.yaml:{place}: ")
    assert catalogue.broken["simple"].endswith("never fires again: its last instant has passed")
    assert set(catalogue.schedules) == {"other"}


def test_a_date_that_has_passed_is_a_warning(desk: Any) -> None:
    catalogue = desk.center("tasks: {simple: {trigger: date, args: {run_date: 2020-12-31 10:00:00}}}").catalogue
    assert catalogue.warnings == [f"{desk.folder}/tasks.yaml:1:50: its instant 2020-12-31 10:00:00 has passed: it will not run"]
    assert set(catalogue.tasks) == {"simple"}


def test_a_wrong_trigger_in_the_defaults_is_told_once_at_its_place(desk: Any) -> None:
    tasks = "defaults: {trigger: cron, args: {hour: 25}}\ntasks: {a: {module: simple}, simple: {}}"
    with pytest.raises(ConfigError) as caught:
        _ = desk.center(tasks).catalogue
    [problem] = caught.value.problems
    assert problem.startswith(f"{desk.folder}/tasks.yaml:1:40: hour '25'")


def test_params_that_do_not_fit_are_told_with_their_place(desk: Any) -> None:
    desk.plugin("typed", "def run(count: int): ...")
    tasks = """\
        tasks:
          typed:
            trigger: none
            params:
              cuont: 3
        """
    broken = desk.center(tasks).catalogue.broken["typed"]
    assert broken.startswith(f"{desk.folder}/tasks.yaml:5:14: unknown parameter 'cuont'")


def test_a_schedule_needs_all_params_a_task_without_one_does_not(desk: Any) -> None:
    desk.plugin("typed", "def run(count: int): ...")
    catalogue = desk.center({"typed": {"trigger": "none"}, "fired": {**EVERY_SECOND, "module": "typed"}}).catalogue
    assert set(catalogue.tasks) == {"typed"}
    assert "missing parameter 'count'" in catalogue.broken["fired"]


def test_each_wrong_param_is_told_at_its_own_line(desk: Any) -> None:
    desk.plugin("typed", "def run(count: int, name: str): ...")
    tasks = """\
        tasks:
          typed:
            trigger: none
            params:
              cuont: 3
              name: 7
        """
    broken = desk.center(tasks).catalogue.broken["typed"]
    assert re.findall(r"tasks.yaml:(\S+): (\w+ \w+ '\w+'|\w+ '\w+': 7 is int)", broken) == [
        ("5:14", "unknown parameter 'cuont'"),
        ("6:13", "parameter 'name': 7 is int"),
    ]


KEY = "tasks: {{a: {{module: keyed, {keys}, concurrency_key: '{key}'}}}}"


@pytest.mark.parametrize(
    ("key", "keys", "words"),
    [
        ("{params.tenat}", "trigger: none", "keyed:run has no parameter 'tenat'; did you mean 'tenant'?"),
        ("{params.tenant}", "args: {minutes: 1}", "a fire has no parameter 'tenant': give it under params"),
    ],
)
def test_a_concurrency_key_that_nothing_could_fill_breaks_its_task(key: str, keys: str, words: str, desk: Any) -> None:
    desk.plugin("keyed", "def run(tenant: str = 'x'): ...")
    broken = desk.center(KEY.format(key=key, keys=keys)).catalogue.broken["a"]
    assert broken.startswith(f"{desk.folder}/tasks.yaml:1:")
    assert broken.endswith(words)


@pytest.mark.parametrize("keys", ["trigger: none", "args: {minutes: 1}, params: {tenant: y}"])
def test_a_concurrency_key_that_can_be_filled(keys: str, desk: Any) -> None:
    desk.plugin("keyed", "def run(tenant: str = 'x', **more): ...")
    assert desk.center(KEY.format(key="{params.tenant}", keys=keys)).catalogue.broken == {}


def test_a_trigger_of_ones_own_fires(desk: Any) -> None:
    desk.plugin("mine", TRIGGERS)
    center = desk.started({"simple": {"trigger": "custom", "args": {"class": "mine:Thirds", "every_ms": 100}}})
    desk.until(lambda: sum(1 for run in center.queue.find(task="simple") if run.state == "succeeded") >= 3)
    instants = sorted(run.scheduled_ms for run in center.queue.find(task="simple"))
    assert all(instant % 100 == 0 for instant in instants)
    assert len(set(instants)) == len(instants)


def test_it_may_stand_inside_a_combination(desk: Any) -> None:
    desk.plugin("mine", TRIGGERS)
    parts = [{"trigger": "custom", "args": {"class": "mine:Thirds"}}, {"trigger": "cron", "args": {"hour": 9}}]
    center = desk.center({"simple": {"trigger": "or", "args": {"triggers": parts}}})
    assert center.catalogue.broken == {}
    assert set(center.catalogue.schedules) == {"simple"}


@pytest.mark.parametrize("target", ["mine:Nothing", "nowhere:Thirds", "os:system"])
def test_a_trigger_class_that_is_not_there_breaks_its_task_alone(desk: Any, target: Any) -> None:
    desk.plugin("mine", TRIGGERS)
    center = desk.center({"odd": {"module": "simple", "trigger": "custom", "args": {"class": target}}, "simple": {"trigger": "none"}})
    assert target.partition(":")[0] in center.catalogue.broken["odd"]
    assert set(center.catalogue.tasks) == {"simple"}


def test_coroutines_find_their_slot_by_themselves(desk: Any) -> None:
    desk.plugin("co", "async def run(): return 'awaited'")
    center = desk.started({"co": {"trigger": "none"}, "apart": {"module": "co", "trigger": "none", "executor": "processpool"}})
    assert center.task("co").executor == "asyncio"
    assert center.task("apart").executor == "processpool"
    assert center.wait(center.submit("co")).result == "awaited"
    assert center.wait(center.submit("apart")).result == "awaited"


def test_promises_that_cannot_be_hard_are_told(desk: Any) -> None:
    center = desk.center(
        {
            "simple": {"trigger": "none", "timeout": 5},
            "big": {"module": "simple", "trigger": "none", "memory_limit": "1GiB", "timeout": 5},
            "apart": {"module": "simple", "trigger": "none", "memory_limit": "1GiB", "timeout": 5, "executor": "processpool"},
        }
    )
    first, second, third = center.catalogue.warnings
    assert first.startswith("simple: timeout in a thread")
    assert second.startswith("big: timeout in a thread")
    assert third.startswith("big: memory_limit holds for executor: processpool only")


@pytest.mark.parametrize("worker", [{"queues": ["mail"]}, {"queues": []}, {"processes": 0}])
def test_a_queue_that_no_worker_here_serves_is_told(worker: Any, desk: Any) -> None:
    tasks = {"a": {"module": "simple", "trigger": "none"}, "simple": {"trigger": "none"}}
    assert desk.center(tasks, worker=worker).catalogue.warnings == ["no worker of this instance serves queue default (tasks: a, simple)"]


def test_an_executor_that_is_not_there_yet_breaks_its_task(desk: Any) -> None:
    center = desk.center({"simple": {"trigger": "none", "executor": "ray"}})
    assert "ray comes with a later version" in center.catalogue.broken["simple"]


def test_what_is_switched_off_is_not_there(desk: Any) -> None:
    catalogue = desk.center({"simple": {**EVERY_SECOND, "enabled": False}}).catalogue
    assert (catalogue.tasks, catalogue.schedules, catalogue.probes) == ({}, {}, {})


def test_no_plugins_folder_at_all(desk: Any) -> None:
    catalogue = desk.center({"simple": {"trigger": "none"}}, scheduler={"plugins": "nowhere"}).catalogue
    assert set(catalogue.broken) == {"simple"}


def test_a_copy_grows_alone(desk: Any) -> None:
    catalogue = desk.center().catalogue
    copy = catalogue.fresh()
    copy.tasks.clear()
    assert set(catalogue.tasks) == {"simple"}
