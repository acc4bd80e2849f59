"""A worker on a real queue, in this process, with the tasks of a throw-away plugin folder."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from scheduler.assembly import BuiltWorker, WorkerPlan, build_worker
from scheduler.core.ids import new_id
from scheduler.core.run import Run, Submission
from scheduler.core.task import Task
from scheduler.plugins.loader import forget, use_folder
from scheduler.queue import RunQueue

PLUGIN = """
import asyncio, ctypes, threading, time
from scheduler import current_run, should_stop
GO = threading.Event()
SEEN = []

def ok(x=None): return x
def boom(): raise ValueError("no")
def note(x): SEEN.append(x)
def hold(): GO.wait(20); return "held"
def spin():
    while True: pass
def deaf(): ctypes.CDLL(None).usleep(3_000_000)
def polite():
    while not should_stop(): time.sleep(0.005)
    return "half"
def talk():
    print("out"); current_run().log.warning("logged"); current_run().progress(40, "two of five")
async def co(x=1):
    await asyncio.sleep(0.01); return x
async def co_forever(): await asyncio.sleep(60)
async def co_deaf():
    while True:
        try: await asyncio.sleep(60)
        except asyncio.CancelledError: pass
"""


@dataclass
class Lab:
    """Drives one worker: ``submit`` by task name, ``end`` waits for the Run."""

    url: str
    queue: RunQueue
    folder: Path
    tasks: dict[str, Task]
    slots: tuple[int, int, int] = (4, 2, 8)
    built: list[BuiltWorker] = field(default_factory=list)
    clients: list[redis.Redis] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def worker(self, name: str = "w1", lease_ms: int = 60_000) -> BuiltWorker:
        """Build, enroll and start a worker; its ticker runs in a thread."""
        plan = WorkerPlan(
            name=name,
            centre="t",
            url=self.url,
            tasks=[task.to_dict() for task in self.tasks.values()],
            queues=["*"],
            slots=list(self.slots),
            plugins=str(self.folder),
            logs=str(self.folder / "logs"),
            lease_ms=lease_ms,
        )
        built = build_worker(plan, self.another_queue(), self.another_queue())
        assert self.queue.enroll(built.enrolment, lease_ms)
        self.built.append(built)
        built.worker.start()
        threading.Thread(target=self._tick, args=(built,), daemon=True, name="lab-ticker").start()
        return built

    def another_queue(self) -> RunQueue:
        from scheduler.store.connect import connect

        self.clients.append(connect(self.url, client_name="lab", socket_timeout_s=12))
        return RunQueue(self.clients[-1], "t")

    def submit(self, task: str, params: str = "", **options: Any) -> str:
        run = new_id()
        assert self.queue.submit([Submission(id=run, task=task, params=params, **options)]) == ["ok"]
        return run

    def until(self, condition: Callable[[], Any], seconds: float = 10) -> Any:
        pause = threading.Event()
        for _ in range(int(seconds / 0.005)):
            if value := condition():
                return value
            pause.wait(0.005)
        pytest.fail("it did not happen")

    def end(self, run: str, seconds: float = 10) -> Run:
        def ended() -> Run | None:
            found = self.queue.get(run)
            return found if found and found.ended else None

        found: Run = self.until(ended, seconds)
        return found

    def running(self, run: str) -> Run:
        def at_work() -> Run | None:
            found = self.queue.get(run)
            return found if found and found.state == "running" else None

        found: Run = self.until(at_work)
        return found

    def close(self) -> None:
        self._over.set()
        for built in self.built:
            built.worker.drain()
            built.close()
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and thread.name.startswith(("w1", "w2", "asyncio", "lab")):
                thread.join(5)
        for client in self.clients:
            client.close()

    def _tick(self, built: BuiltWorker) -> None:
        while not self._over.is_set():
            built.worker.tick()
            self._over.wait(0.005)


@pytest.fixture
def lab(server: Any, client: redis.Redis, tmp_path: Path) -> Iterator[Lab]:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "lab_tasks.py").write_text(PLUGIN)
    use_folder(folder)
    names = ("ok", "boom", "note", "hold", "polite", "talk")
    tasks = {name: Task(name=name, target=f"lab_tasks:{name}") for name in names}
    tasks |= {name: Task(name=name, target=f"lab_tasks:{name}", timeout_ms=200) for name in ("spin", "deaf")}
    tasks |= {name: Task(name=name, target=f"lab_tasks:{name}", executor="asyncio") for name in ("co", "co_forever")}
    tasks["co_late"] = Task(name="co_late", target="lab_tasks:co_forever", executor="asyncio", timeout_ms=100)
    tasks["co_deaf"] = Task(name="co_deaf", target="lab_tasks:co_deaf", executor="asyncio", timeout_ms=100)
    tasks["alone"] = Task(name="alone", target="lab_tasks:ok", executor="processpool")
    tasks["twice"] = Task(name="twice", target="lab_tasks:boom", max_attempts=2)
    tasks["missing"] = Task(name="missing", target="lab_tasks:nothing")
    queue = RunQueue(client, "t")
    queue.define(list(tasks.values()))
    lab = Lab(server.url, queue, folder, tasks)
    yield lab
    import lab_tasks

    lab_tasks.GO.set()
    lab.close()
    forget()
