"""``python run.py`` as shipped, started for real: its tasks run, Ctrl-C ends it, it goes on where it was, and it survives kill -9."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from scheduler import SchedulerCenter
from scheduler.core.clock import monotonic, sleep
from scheduler.core.ids import fire_instant
from scheduler.queue import EventReader

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import time
from pathlib import Path

def run(go: str) -> str:
    while not Path(go).exists(): time.sleep(0.01)
    return "let go"
"""


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    deadline = monotonic() + seconds
    while not (answer := condition()):
        if monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        sleep(0.02)
    return answer


class House:
    """A copy of what is shipped, in a folder of its own, and the processes that are started there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.go = folder / "go"
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        for name in ("run.py", "env.yaml"):
            shutil.copy(ROOT / name, folder)
        for name in ("config", "plugins"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))

    def add_hold(self) -> None:
        """One more task, which lasts until it is let go; and the first of the shipped ones fires every second."""
        (self.folder / "plugins" / "hold.py").write_text(HOLD)
        path = self.folder / "config" / "dev.yaml"
        text = path.read_text().replace("args: {seconds: 10}", "args: {seconds: 1}\n    overlap: allow\n    max_instances: 30", 1)
        assert "{seconds: 1}" in text
        path.write_text(f"{text}\n  hold: {{trigger: none}}\n")

    def start(self) -> str:
        """What it has said when it is up."""
        self.starts += 1
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "SCHEDULER__WEB__PORT": "0", "SCHEDULER__WORKER__LEASE": "3"}
        with self.output.open("wb") as output:
            command = [sys.executable, "run.py"]
            self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=output, stderr=output, start_new_session=True)
        until(lambda: "http://" in self.said() or self.process.poll() is not None, 20, "it is up")
        assert self.process.poll() is None, self.said()
        return self.said()

    @property
    def output(self) -> Path:
        return self.folder / f"output{self.starts}"

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def everybody(self) -> set[psutil.Process]:
        """run.py, its descendants and the embedded server."""
        found = set()
        for process in psutil.process_iter():
            try:
                if str(self.folder) in (process.cwd(), process.environ().get("PWD")) or str(self.folder) in " ".join(process.cmdline()):
                    found.add(process)
            except psutil.Error:  # it has ended meanwhile, or is not ours to look at
                continue
        return found | {psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)}

    def stop(self, number: int) -> tuple[int, float]:
        """Signal run.py; its exit code, and how long its end took."""
        began = monotonic()
        self.process.send_signal(number)
        code = self.process.wait(20)
        return code, monotonic() - began

    def center(self) -> SchedulerCenter:
        """The same centre, looked at from here."""
        return SchedulerCenter(self.folder / "env.yaml")

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with self.center() as center:  # the last user shuts the server down
            assert center.store


def alive(processes: set[psutil.Process], within_s: float) -> list[psutil.Process]:
    """Those that have not ended in time. What its dead parent left to init, and init has not collected yet, has ended."""

    def ended(process: psutil.Process) -> bool:
        try:
            return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    deadline = monotonic() + within_s
    while (left := [process for process in processes if not ended(process)]) and monotonic() < deadline:
        sleep(0.02)
    return left


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def succeeded(center: SchedulerCenter, runs: list[str]) -> list[Any]:
    return [run for run in map(center.get_run, runs) if run and run.state == "succeeded"]


def fires(center: SchedulerCenter) -> list[str]:
    """Ids of the Runs of health_check that have been made, oldest first, one for each time that one was made."""
    events = EventReader(center.queue.client, center.queue.prefix, start="0", count=100_000).read()
    return [event.subject for event in events if event.task == "health_check" and event.type == "pending" and event.token == 0]


def test_the_shipped_tasks_run_and_ctrl_c_leaves_nothing(house: House) -> None:
    said = house.start()
    assert "7 ok" in said
    with house.center() as center:
        runs = [center.submit(task) for task in ("data_sync", "enhanced_task", "system_cleanup", "one_time_migration", "report_preview")]
        until(lambda: len(succeeded(center, runs)) == len(runs), 20, "five shipped tasks succeed")
        assert center.get_run(runs[0]).result["processed_count"] > 0
        fired = until(lambda: [run for run in center.queue.find(task="health_check") if run.ended], 15, "a schedule fires")
        assert (fired[0].state, fired[0].schedule) == ("succeeded", "health_check")
    assert (house.folder / "data" / "sync.db").exists()
    assert list((house.folder / "data" / "reports").glob("report_preview-*.html"))
    everybody = house.everybody()
    assert len(everybody) >= 4  # run.py, its worker, the worker's zygote, the server
    code, took_s = house.stop(signal.SIGINT)
    assert code == 0, house.said()
    assert took_s < 5
    assert alive(everybody, 1) == []
    logged = [json.loads(line) for line in (house.folder / "logs" / "scheduler.log").read_text("utf-8").splitlines()]
    assert [[line["message"] for line in logged if line.get("run") == run] for run in runs[:1]] == [["任务 data_sync 执行成功"]]
    assert [(house.said().count(run), sum(line.get("run") == run for line in logged)) for run in runs] == [(1, 1)] * len(runs)


def test_the_next_start_goes_on_where_it_was(house: House) -> None:
    house.add_hold()
    house.start()
    with house.center() as center:
        late = center.submit("one_time_migration", delay=4)
        held = center.submit("hold", {"go": str(house.go)})
        until(lambda: center.get_run(held).state == "running", 10, "it runs")
        until(lambda: len(fires(center)) >= 2, 10, "two fires")
    everybody = house.everybody()
    code, took_s = house.stop(signal.SIGINT)  # with a Run at work that does not listen
    assert (code, alive(everybody, 1)) == (0, [])
    assert took_s < 5
    house.start()
    house.go.touch()
    with house.center() as center:
        before = len(fires(center))
        until(lambda: len(fires(center)) >= before + 2, 10, "it fires on")
        assert (center.wait(late).state, center.wait(late).attempt) == ("succeeded", 1)
        back = center.wait(held)
        assert (back.result, back.attempt, back.losses) == ("let go", 1, 0)
        made = fires(center)
    assert [run for run, count in Counter(made).items() if count > 1] == []
    instants = [fire_instant(run) for run in made]
    assert instants == list(range(instants[0], instants[-1] + 1, 1000)), "every second, the time between the two starts included"
    assert house.stop(signal.SIGTERM)[0] == 0


def test_kill_9_costs_nothing_but_time(house: House) -> None:
    house.add_hold()
    house.start()
    with house.center() as center:
        held = center.submit("hold", {"go": str(house.go)})
        until(lambda: center.get_run(held).state == "running", 10, "it runs")
        made = fires(center)
    family = set(psutil.Process(house.process.pid).children(recursive=True))
    house.stop(signal.SIGKILL)
    assert alive(family, 2) == []
    assert "already running" in house.start()  # the store lived on
    with house.center() as center:
        until(lambda: center.get_run(held).losses == 1, 10, "it is rescued")
        house.go.touch()
        saved = center.wait(held)
        assert (saved.state, saved.result, saved.claims, saved.attempt) == ("succeeded", "let go", 2, 1)
        again = until(lambda: (now := fires(center)) and len(now) > len(made) and now, 10, "it fires on")
    assert len(set(again)) == len(again)
    everybody = house.everybody()
    assert house.stop(signal.SIGINT)[0] == 0
    assert alive(everybody, 1) == []
