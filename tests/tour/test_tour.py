"""The tour: ten short tests in the order in which a newcomer meets things. Read them as the manual."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import pytest

from scheduler import ParamsError, SchedulerCenter
from scheduler.core.clock import monotonic

Plugin = Callable[[str, str], object]
Centre = Callable[[str], SchedulerCenter]


def test_01_a_task_is_a_function_named_run_in_a_file_of_the_plugins_folder(plugin: Plugin, start: Centre) -> None:
    plugin("hello", 'def run(): return "hello world"')
    center = start("hello: {trigger: none}")
    run_id = center.submit("hello")
    run = center.wait(run_id)
    assert run.state == "succeeded"
    assert run.result == "hello world"


def test_02_its_parameters_come_from_the_task_file_and_from_whoever_submits(plugin: Plugin, start: Centre) -> None:
    plugin("hello", "def run(greeting: str, name: str = 'world'): return f'{greeting} {name}'")
    center = start("hello: {trigger: none, params: {greeting: good morning}}")
    assert center.wait(center.submit("hello")).result == "good morning world"
    assert center.wait(center.submit("hello", {"name": "team"})).result == "good morning team"
    with pytest.raises(ParamsError, match=r"unknown parameter 'nmae'.*did you mean 'name'"):
        center.submit("hello", {"nmae": "team"})


def test_03_what_fails_is_tried_again(plugin: Plugin, start: Centre) -> None:
    source = """
        from scheduler import current_run

        def run():
            if current_run().attempt < 3:
                raise ConnectionError("the other side is not up yet")
            return "there it is"
    """
    plugin("fetch", source)
    center = start("fetch: {trigger: none, max_attempts: 5, retry_delay: 0.1}")
    run = center.wait(center.submit("fetch"))
    assert (run.state, run.result, run.attempt) == ("succeeded", "there it is", 3)


def test_04_a_timeout_really_kills(plugin: Plugin, start: Centre) -> None:
    plugin("endless", "def run():\n    while True: pass")
    center = start("endless: {trigger: none, timeout: 0.3, executor: processpool}")
    run = center.wait(center.submit("endless"))
    assert (run.state, run.reason) == ("failed", "timed_out")
    assert run.ended_ms - run.started_ms < 2000


def test_05_what_is_urgent_goes_first_however_much_waits(plugin: Plugin, centre: Centre) -> None:
    plugin("ticket", "import itertools\nNUMBERS = itertools.count(1)\ndef run(): return next(NUMBERS)")
    center = centre("ticket: {trigger: none}")
    center.submit_many([("ticket", {}, 1)] * 10_000)
    urgent = center.submit("ticket", priority=10)
    center.start()
    assert center.wait(urgent).result == 1


def test_06_a_rate_limit_allows_a_burst_and_then_an_even_flow(plugin: Plugin, start: Centre) -> None:
    plugin("call_api", "def run(): ...")
    center = start('call_api: {trigger: none, rate_limit: "2/600ms"}')
    runs = center.submit_many(["call_api"] * 4)
    starts = sorted(center.wait(run).started_ms for run in runs)
    assert starts[1] - starts[0] < 300, "a burst of two"
    assert starts[2] - starts[0] >= 300, "and then one every 300 ms"
    assert starts[3] - starts[0] >= 600


def test_07_a_schedule_submits_runs_by_itself(plugin: Plugin, start: Centre) -> None:
    source = """
        import queue
        from scheduler import current_run
        SEEN = queue.Queue()

        def run(): SEEN.put(current_run().scheduled_at)
    """
    plugin("tick", source)
    center = start("tick: {trigger: interval, args: {seconds: 1}}")
    assert [job.trigger for job in center.get_jobs()] == ["every second"]
    seen = import_module("tick").SEEN
    first, second = seen.get(timeout=10), seen.get(timeout=10)
    assert second - first == timedelta(seconds=1)


def test_08_a_running_run_can_be_cancelled(plugin: Plugin, start: Centre) -> None:
    source = """
        import threading
        from scheduler import should_stop
        STARTED = threading.Event()

        def run():
            STARTED.set()
            while not should_stop(): ...
    """
    plugin("long_loop", source)
    center = start("long_loop: {trigger: none}")
    run_id = center.submit("long_loop")
    assert import_module("long_loop").STARTED.wait(10)
    assert center.cancel(run_id, "not needed any more") is True
    assert (center.wait(run_id).state, center.wait(run_id).reason) == ("cancelled", "not needed any more")


def test_09_a_dead_letter_is_kept_until_somebody_has_mended_things(plugin: Plugin, start: Centre, tmp_path: Path) -> None:
    plugin("load", "from pathlib import Path\ndef run(path): return Path(path).read_text()")
    center = start("load: {trigger: none, max_attempts: 2}")
    run_id = center.submit("load", {"path": str(tmp_path / "data.txt")})
    dead = center.wait(run_id)
    assert (dead.state, dead.attempt, dead.error["type"] if dead.error else "") == ("dead", 2, "FileNotFoundError")
    (tmp_path / "data.txt").write_text("42")
    center.retry(run_id)
    assert center.wait(run_id).result == "42"


def test_10_a_thousand_at_once(plugin: Plugin, start: Centre) -> None:
    plugin("nap", "import asyncio\nasync def run(): await asyncio.sleep(0.5)")
    center = start("nap: {trigger: none}")

    def submit(_: int) -> tuple[str, float]:
        began = monotonic()
        return center.submit("nap"), monotonic() - began

    with ThreadPoolExecutor(10) as clients:
        answers = list(clients.map(submit, range(1000)))
    assert [center.wait(run_id).state for run_id, _ in answers] == ["succeeded"] * 1000
    slowest_s = max(seconds for _, seconds in answers)
    print(f"1,000 Runs succeeded; the slowest of the submits was answered within {slowest_s * 1000:.1f} ms")  # noqa: T201  # a figure to read
    assert slowest_s < 1
