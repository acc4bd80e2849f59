"""The supervisor with real worker processes: they die, hang, lose their lease, and are replaced; nothing of them stays behind."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from scheduler.assembly import WorkerPlan
from scheduler.core.clock import monotonic
from scheduler.core.ids import new_id
from scheduler.core.run import Submission
from scheduler.core.task import Task
from scheduler.queue import RunQueue
from scheduler.store.connect import connect
from scheduler.worker import supervisor as module
from scheduler.worker.supervisor import Supervisor
from scheduler.worker.sweeper import Leases, Sweeper

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = """
import ctypes, os, subprocess, sys, threading, time
from pathlib import Path
from scheduler import current_run, log_execution

def pid(): return os.getpid()

def hold(go):
    while not Path(go).exists(): time.sleep(0.005)
    return os.getpid()

def c_nap(seconds):
    if current_run().token > 1: return "again"
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # the whole interpreter stands still: PyDLL keeps its lock

def hold_the_interpreter(): ctypes.PyDLL(None).usleep(30_000_000)

def die_of(number):
    if current_run().token == 1: os.kill(os.getpid(), number)
    while True: time.sleep(0.005)

def sleeper(note):
    child = subprocess.Popen(["sleep", "60"])
    Path(note).write_text(str(child.pid))
    child.wait()

def reads_and_ends():
    child = subprocess.Popen(["sleep", "60"])
    child.terminate()
    return [sys.stdin.read() + subprocess.run(["cat"], stdout=subprocess.PIPE, text=True).stdout, child.wait()]

KEPT = []
def leaks(count): KEPT.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(count))

def leaves_threads(count):
    for _ in range(count): threading.Thread(target=threading.Event().wait, daemon=True).start()

def family(note):
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    Path(note).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(60)

@log_execution()
def logged(): print("printed"); current_run().log.info("told")

def deaf(): ctypes.CDLL(None).usleep(6_000_000)
"""
TASKS = {
    **{
        name: Task(name=name, target=f"crew_tasks:{name}")
        for name in ("pid", "hold", "hold_the_interpreter", "die_of", "sleeper", "reads_and_ends", "leaks", "leaves_threads")
    },
    "logged": Task(name="logged", target="crew_tasks:logged", log_runs=True),
    "c_nap": Task(name="c_nap", target="crew_tasks:c_nap", timeout_ms=300, max_attempts=2),
    "deaf": Task(name="deaf", target="crew_tasks:deaf", timeout_ms=50),
    "family": Task(name="family", target="crew_tasks:family", executor="processpool"),
}


class Watch:
    """A supervisor, the sweeper beside it, and the queue they work on."""

    def __init__(self, url: Any, folder: Any, lease_ms: Any = 30_000) -> None:
        self.folder = folder
        self.url = url
        self.clients = []
        self.queue = self.another_queue()
        self.queue.define(list(TASKS.values()))
        self.leases = Leases(lease_ms, lease_ms // 3)
        self.sweeper = Sweeper(self.another_queue(), TASKS.get, self.leases)
        self.supervisor = Supervisor("inst", self.plan, self.another_queue(), self.sweeper.rescue, self.leases)
        self.go = str(folder / "go")
        self._over = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while not self._over.wait(self.supervisor.beat()):
            pass

    def another_queue(self) -> Any:
        self.clients.append(connect(self.url, client_name="watch"))
        return RunQueue(self.clients[-1], "t")

    def plan(self, name: str) -> Any:
        plan = WorkerPlan(
            name=name,
            centre="t",
            url=self.url,
            tasks=[task.to_dict() for task in TASKS.values()],
            queues=["*"],
            slots=[6, 2, 4],
            plugins=str(self.folder),
            logs=str(self.folder / "logs"),
            lease_ms=self.leases.lease_ms,
        )
        return json.dumps(asdict(plan))

    def until(self, condition: Any, seconds: Any = 20) -> Any:
        """Supervise until it is true."""
        deadline = monotonic() + seconds
        while not (answer := condition()):
            if monotonic() > deadline:
                pytest.fail("it did not happen")
            self.sweeper.step()
            self.supervisor.wait(min(0.02, self.supervisor.step()))
        return answer

    def up(self, count: Any = 1) -> Any:
        """So many workers, in service."""
        self.supervisor.scale(count)
        self.until(lambda: sum(worker.ready for worker in self.supervisor.workers.values()) == count)
        return list(self.supervisor.workers.values())

    def submit(self, task: str, **params: Any) -> Any:
        run = new_id()
        assert self.queue.submit([Submission(id=run, task=task, params=json.dumps(params) if params else "")]) == ["ok"]
        return run

    def running(self, *runs: Any) -> None:
        self.until(lambda: all(self.queue.get(run).state == "running" for run in runs))

    def end(self, run: str) -> Any:
        return self.until(lambda: (found := self.queue.get(run)).ended and found)

    def close(self) -> None:
        self._over.set()
        self.supervisor.kill()
        self.until(lambda: not self.supervisor.workers)
        self.supervisor.close()
        for client in self.clients:
            client.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "crew_tasks.py").write_text(PLUGIN)
    (tmp_path / "crew_tasks.py").chmod(0o644)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.fixture
def watches(server: Any, client: redis.Redis, folder: Any) -> Iterator[Any]:
    made = []

    def make(**options: Any) -> Any:
        made.append(Watch(server.url, folder, **options))
        return made[-1]

    yield make
    for watch in made:
        watch.close()


@pytest.fixture
def watch(watches: Any) -> Any:
    return watches()


def test_it_starts_workers_that_work(watch: Any) -> None:
    first, second = watch.up(2)
    assert {first.name, second.name} == {"inst.1", "inst.2"}
    run = watch.end(watch.submit("pid"))
    assert run.result in {first.process.pid, second.process.pid}
    assert os.getpgid(first.process.pid) == first.process.pid  # Ctrl-C in the terminal is not for it


def test_a_killed_worker_is_replaced_at_once_and_its_runs_go_on(watch: Any) -> None:
    [worker] = watch.up()
    runs = [watch.submit("hold", go=watch.go) for _ in range(3)]
    watch.running(*runs)
    killed_at = monotonic()
    os.kill(worker.process.pid, signal.SIGKILL)
    watch.until(lambda: all(watch.queue.get(run).losses == 1 for run in runs))
    assert monotonic() - killed_at < 1
    assert list(watch.supervisor.workers) == ["inst.2"]
    Path(watch.go).touch()
    ended = [watch.end(run) for run in runs]
    assert {(run.state, run.attempt, run.claims, run.worker) for run in ended} == {("succeeded", 1, 2, "inst.2")}


def test_drain_lets_short_runs_end_and_hands_the_others_back(watch: Any) -> None:
    [worker] = watch.up()
    ends, stays = watch.submit("hold", go=watch.go), watch.submit("hold", go="never")
    watch.running(ends, stays)
    watch.supervisor.drain(0.7)
    Path(watch.go).touch()
    watch.until(lambda: not watch.supervisor.workers)
    assert worker.process.returncode == 0
    assert watch.queue.get(ends).state == "succeeded"
    back = watch.queue.get(stays)
    assert (back.state, back.reason, back.attempt, back.losses) == ("pending", "shutdown", 0, 0)


def test_drain_before_a_worker_is_up(watch: Any) -> None:
    watch.supervisor.scale(1)
    watch.supervisor.step()
    watch.supervisor.drain(5)
    watch.until(lambda: not watch.supervisor.workers)
    assert watch.supervisor._made == 1


def test_kill_needs_no_patience(watch: Any) -> None:
    watch.up()
    run = watch.submit("hold", go=watch.go)
    watch.running(run)
    watch.supervisor.kill()
    watch.until(lambda: not watch.supervisor.workers, seconds=2)
    assert (watch.queue.get(run).state, watch.queue.get(run).reason) == ("pending", "lost")


def test_scaling_down_lets_the_surplus_finish(watch: Any) -> None:
    first, second = watch.up(2)
    runs = [watch.submit("hold", go=watch.go) for _ in range(12)]  # all threads of both
    watch.running(*runs)
    watch.supervisor.scale(1)
    watch.until(lambda: second.draining)
    assert not first.draining
    assert len(watch.supervisor.workers) == 2  # it still holds Runs
    Path(watch.go).touch()
    watch.until(lambda: list(watch.supervisor.workers) == [first.name])
    assert {watch.end(run).state for run in runs} == {"succeeded"}
    watch.up(2)
    assert list(watch.supervisor.workers) == ["inst.1", "inst.3"]


def test_workers_that_die_at_once_are_not_restarted_for_ever(watch: Any) -> None:
    watch.supervisor._plan_of = lambda _: "no plan"
    watch.supervisor.scale(1)
    watch.until(lambda: watch.supervisor._quick_deaths == 3)
    assert not watch.supervisor.workers
    watch.supervisor.step()
    assert not watch.supervisor.workers  # half a second's pause
    watch.supervisor._plan_of = watch.plan
    watch.up()
    assert watch.end(watch.submit("pid")).state == "succeeded"


def test_a_run_that_blocks_the_whole_interpreter_costs_its_worker_at_its_deadline(watch: Any, caplog: pytest.LogCaptureFixture) -> None:
    [worker] = watch.up()
    neighbour = watch.submit("hold", go=watch.go)
    watch.running(neighbour)
    culprit = watch.submit("c_nap", seconds=30)
    watch.running(culprit)
    watch.until(lambda: watch.queue.get(neighbour).losses == 1, seconds=4)
    assert worker.process.returncode == -signal.SIGKILL
    assert f"worker {worker.name} is blocked by a Run that is over its deadline" in caplog.text
    guilty = watch.queue.get(culprit)
    assert (guilty.reason, guilty.attempt, guilty.losses) == ("timed_out", 1, 0)
    assert guilty.error["message"] == "任务 c_nap 执行超时 (0.3秒)"
    assert (watch.queue.get(neighbour).attempt, watch.queue.get(neighbour).reason) in {(0, "lost"), (1, "")}
    Path(watch.go).touch()
    assert watch.end(neighbour).state == "succeeded"
    again = watch.end(culprit)
    assert (again.state, again.result, again.attempt) == ("succeeded", "again", 2)


def test_a_worker_that_does_not_tick_is_killed(watches: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    watch = watches(lease_ms=600_000)
    [worker] = watch.up()
    os.kill(worker.process.pid, signal.SIGSTOP)
    watch.supervisor.step()
    assert worker.process.poll() is None
    monkeypatch.setattr(module, "monotonic", lambda: monotonic() + module.STALLED_S)
    watch.until(lambda: worker.process.returncode == -signal.SIGKILL)
    monkeypatch.undo()
    assert "has not ticked for 60 s: stalled" in caplog.text


def test_without_contact_for_a_lease_no_worker_may_go_on(
    watches: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch = watches(lease_ms=2400)
    [worker] = watch.up()

    def away(*_: Any) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr(watch.supervisor._queue, "beat", away)
    since = monotonic()
    watch.until(lambda: worker.process.returncode is not None, seconds=3)
    assert monotonic() - since < 2.4
    assert worker.process.returncode in (-signal.SIGALRM, -signal.SIGKILL)  # its own end, or ours, whoever is first


@pytest.mark.parametrize("task", ["hold", "hold_the_interpreter"])
def test_a_worker_that_nobody_watches_ends_with_its_trust(watches: Any, monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    """Its supervisor sleeps, as one does that was stopped or starved; the Run may even hold the interpreter."""
    watch = watches(lease_ms=2400)
    [worker] = watch.up()
    run = watch.submit(task, go=watch.go) if task == "hold" else watch.submit(task)
    watch.running(run)

    def away(*_: Any) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr(watch.supervisor._queue, "beat", away)
    assert worker.process.wait(2.4) == -signal.SIGALRM


def test_the_last_word_about_a_worker_is_said_once(watch: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    [worker] = watch.up()
    os.kill(worker.process.pid, signal.SIGSTOP)
    monkeypatch.setattr(module.os, "killpg", lambda *_: None)  # as one in an uninterruptible wait
    monkeypatch.setattr(module, "monotonic", lambda: monotonic() + module.STALLED_S)
    for _ in range(5):
        watch.supervisor._watch(worker)
    assert len(caplog.records) == 1
    monkeypatch.undo()
    worker.process.kill()


def test_a_signal_without_a_name_ends_its_worker_alone(watch: Any, caplog: pytest.LogCaptureFixture) -> None:
    watch.up()
    run = watch.submit("die_of", number=40)
    watch.until(lambda: "inst.2" in watch.supervisor.workers)
    assert "worker inst.1 ended (signal 40)" in caplog.text
    watch.queue.cancel(run)
    assert watch.end(run).state == "cancelled"


def test_a_worker_that_cannot_be_started_is_tried_again(
    watch: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    descriptors = psutil.Process().num_fds()

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EAGAIN, "no more processes")

    with monkeypatch.context() as patch:
        patch.setattr(module.subprocess, "Popen", refuse)
        watch.supervisor.scale(1)
        watch.supervisor.step()
        watch.supervisor.step()
    assert caplog.text.count("a worker cannot be started, tried again in 2 s") == 1
    assert psutil.Process().num_fds() == descriptors
    watch.up()


def test_one_that_does_not_read_its_plan_holds_up_nobody(watch: Any, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    deaf = folder / "deaf"
    deaf.write_text("#!/bin/sh\nexec sleep 60\n")
    deaf.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(deaf))
    watch.supervisor._plan_of = lambda _: "x" * 1_000_000
    watch.supervisor.scale(1)
    watch.supervisor.step()
    assert list(watch.supervisor.workers) == ["inst.1"]


def test_a_store_that_does_not_answer_keeps_nobody_from_watching(server: Any, folder: Any, caplog: pytest.LogCaptureFixture) -> None:
    with tempfile.TemporaryDirectory(prefix="sc") as place:  # a short path, for unix sockets end at 107 bytes
        own = type(server)(Path(place))
        own.start()
        watch = Watch(own.url, folder)
        [worker] = watch.up()
        own.process.send_signal(signal.SIGSTOP)
        worker.kill()
        while "inst.2" not in watch.supervisor.workers:
            watch.supervisor.wait(watch.supervisor.step())
        assert "could not be reported dead" not in caplog.text  # it still asks
        own.process.send_signal(signal.SIGCONT)
        watch.close()
        own.kill()


def test_a_wait_that_fails_leaves_no_descriptors(watch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = (worker.process.pid for worker in watch.up(2))
    descriptors, pidfd_open = psutil.Process().num_fds(), os.pidfd_open

    def short(pid: int) -> int:
        if pid == first:
            return pidfd_open(pid)
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "pidfd_open", short)
        with pytest.raises(OSError, match="too many open files"):
            watch.supervisor.wait(0)
    assert psutil.Process().num_fds() == descriptors


def test_trust_is_what_the_store_has_said(watch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a worker is ready tells nothing of when it entered service: who hears it may have slept meanwhile."""

    def away(*_: Any) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr(watch.supervisor._queue, "beat", away)
    [worker] = watch.up()
    assert worker.page.trusted_until() == 0
    monkeypatch.undo()
    watch.supervisor.beat()
    watch.supervisor.step()
    assert worker.page.trusted_until() > worker.started


def test_an_answer_about_a_worker_that_was_buried_meanwhile(watch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    [worker] = watch.up()

    def late(names: Any, _: Any) -> Any:
        worker.kill()
        watch.until(lambda: worker.name not in watch.supervisor.workers)
        return dict.fromkeys(names, True)

    monkeypatch.setattr(watch.supervisor._queue, "beat", late)
    assert watch.supervisor.beat() == watch.leases.beat_ms / 1000


def test_what_a_thread_has_started_ends_with_its_worker(watch: Any) -> None:
    [worker] = watch.up()
    note = Path(watch.go + ".pid")
    watch.submit("sleeper", note=str(note))
    watch.until(lambda: note.exists() and note.read_text())
    sleeper = psutil.Process(int(note.read_text()))
    os.kill(worker.process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, worker.process.pid, os.WEXITED | os.WNOWAIT)
    worker.kill()  # as one that is condemned just when it ends
    watch.until(lambda: "inst.2" in watch.supervisor.workers)
    assert psutil.wait_procs([sleeper], timeout=2)[1] == []


def test_tasks_have_no_part_in_what_the_supervisor_says(watch: Any) -> None:
    """One reads standard input, its program ends at TERM as programs do; then the worker still hears that it is to go."""
    [worker] = watch.up()
    assert watch.end(watch.submit("reads_and_ends")).result == ["", -signal.SIGTERM]
    run = watch.submit("hold", go=watch.go)
    watch.running(run)
    watch.supervisor.drain(0.2)
    watch.until(lambda: not watch.supervisor.workers)
    assert (worker.process.returncode, watch.queue.get(run).state, watch.queue.get(run).reason) == (0, "pending", "shutdown")


MOST = resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@pytest.mark.parametrize(
    ("task", "count", "state"),
    [("leaks", MOST * 3 // 4, "succeeded"), ("leaks", MOST, "failed"), ("leaves_threads", 510, "succeeded")],
    ids=["most-descriptors", "all-descriptors", "threads"],
)
def test_a_worker_full_of_what_tasks_left_is_replaced(watch: Any, task: str, count: int, state: str) -> None:
    watch.up()
    assert watch.end(watch.submit(task, count=count)).state == state
    watch.until(lambda: list(watch.supervisor.workers) == ["inst.2"])


def test_a_worker_that_was_declared_dead_is_replaced(watches: Any, caplog: pytest.LogCaptureFixture) -> None:
    watch = watches(lease_ms=2400)
    [worker] = watch.up()
    run = watch.submit("hold", go=watch.go)
    watch.running(run)
    watch.another_queue().abandon(worker.name)
    watch.until(lambda: watch.queue.get(run).worker == "inst.2")
    assert worker.process.returncode not in (None, 0)
    Path(watch.go).touch()
    assert (watch.end(run).state, watch.end(run).losses) == ("succeeded", 1)


def test_too_many_stuck_threads_and_the_worker_is_replaced(watch: Any) -> None:
    [worker] = watch.up()
    runs = [watch.submit("deaf") for _ in range(5)]
    watch.until(lambda: worker.draining)
    assert {watch.end(run).reason for run in runs} == {"timed_out"}
    watch.until(lambda: list(watch.supervisor.workers) == ["inst.2"])
    assert worker.process.returncode == 0


def test_the_death_of_a_worker_may_be_reported_later(watch: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    [worker] = watch.up()
    run = watch.submit("hold", go=watch.go)
    watch.running(run)

    def away(*_: Any) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr(watch.supervisor._queue, "abandon", away)
    worker.kill()
    watch.until(lambda: "could not be reported dead (away); its lease will tell" in caplog.text)
    monkeypatch.undo()
    watch.queue.abandon(worker.name)
    watch.until(lambda: watch.queue.get(run).losses == 1)


def test_output_and_lines_of_log_execution_arrive_once(watch: Any) -> None:
    watch.up()
    run = watch.end(watch.submit("logged"))
    lines = watch.queue.read_log(run.id)[1].splitlines()
    assert [word for line in lines for word in ("开始", "printed", "told", "耗时") if word in line] == ["开始", "printed", "told", "耗时"]
    assert len(lines) == 4


SUPERVISE = """
import sys
sys.path.insert(0, {tests!r})
from test_supervisor import Watch
from pathlib import Path
watch = Watch({url!r}, Path({folder!r}))
watch.up(2)
print(*[worker.process.pid for worker in watch.supervisor.workers.values()], flush=True)
watch.until(lambda: False, seconds=60)
"""


def test_a_worker_that_cannot_look_dies_with_its_supervisor(watch: Any, folder: Any) -> None:
    code = SUPERVISE.format(tests=str(Path(__file__).parent), url=watch.url, folder=str(folder))
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        workers = [psutil.Process(int(pid)) for pid in other.stdout.readline().split()]
        runs = [watch.submit("hold_the_interpreter") for _ in range(2)]
        watch.running(*runs)
        other.kill()
    assert psutil.wait_procs(workers, timeout=2)[1] == []


def test_nothing_outlives_the_supervisor(watch: Any, folder: Any) -> None:
    code = SUPERVISE.format(tests=str(Path(__file__).parent), url=watch.url, folder=str(folder))
    other = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    workers = [int(pid) for pid in other.stdout.readline().split()]
    runs = [watch.submit("family", note=str(folder / f"note{n}")) for n in range(2)]
    runs.append(watch.submit("hold", go=watch.go))
    watch.running(*runs)
    notes = [folder / f"note{n}" for n in range(2)]
    watch.until(lambda: all(note.exists() and len(note.read_text().split()) == 2 for note in notes))
    family = [int(pid) for note in notes for pid in note.read_text().split()]
    everybody = {psutil.Process(pid) for pid in [*workers, *family]}
    everybody |= {child for pid in workers for child in psutil.Process(pid).children(recursive=True)}
    assert len(everybody) >= 6
    other.kill()
    other.wait()
    _, alive = psutil.wait_procs(everybody, timeout=2)
    assert alive == []
    other.stdout.close()
