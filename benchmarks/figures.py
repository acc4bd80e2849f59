"""`make bench ARGS="--own"`: figures of this project alone: start-up, schedules, memory, processes, an idle instance. Medians of three."""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from server import Server, free_port

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))
REPETITIONS = 3
SCHEDULES = 100_000
WAITING = 20_000


def main() -> int:
    for experiment in (start_up, schedules, waiting_runs, processes, idle):
        results = [experiment() for _ in range(REPETITIONS)]
        for name in results[0]:
            values = [result[name] for result in results]
            print(f"{statistics.median(values):12,.2f}  {name}  ({min(values):,.2f} to {max(values):,.2f})", flush=True)
    return 0


def start_up() -> dict[str, float]:
    with service() as (_, began, answered):
        return {"python run.py to the first HTTP 200, s": answered - began}


@contextmanager
def service() -> Iterator[tuple[subprocess.Popen[bytes], float, float]]:
    """The shipped deployment in a folder of its own: its process, when it was started, when it first answered."""
    folder, port = Path(tempfile.mkdtemp(prefix="bench")), free_port()
    for name in ("run.py", "env.yaml", "config", "plugins"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SCHEDULER__WEB__PORT": str(port)}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "run.py"], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not answers(port):
            time.sleep(0.005)
        yield process, began, time.monotonic()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=1) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


LOAD = """
import json, sys, time
import psutil
from scheduler.catalogue import trigger_of
from scheduler.core.run import Submission
from scheduler.core.task import Schedule
from scheduler.queue import RunQueue, ScheduleBook
from scheduler.store.connect import connect
from scheduler.timing import Timer, Wiring
from scheduler.triggers import jitter_of, misses

url, count, enters = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "enter"
book = ScheduleBook(RunQueue(connect(url, client_name="bench"), "bench"))
began = time.monotonic()
if enters:
    kinds = [("interval", {"hours": 1}), ("cron", {"expression": "0 9 * * 1-5"}), ("cron", {"hour": 3}), ("interval", {"minutes": 30})]
    book.save_schedules(
        [Schedule(name=f"s{n}", task="t", trigger=kinds[n % 4][0], args={**kinds[n % 4][1], **({"minute": n % 60} if n % 4 == 2 else {})})
         for n in range(count)]
    )
else:
    timer = Timer(book, "bench", Wiring(trigger_of, misses.due, jitter_of, lambda s, i: Submission(id=s.name, task=s.task)))
    while len(timer.jobs.jobs) < count:
        timer.step()
print(json.dumps([time.monotonic() - began, psutil.Process().memory_info().rss / 1e6]))
"""


def schedules() -> dict[str, float]:
    """Entered by one process, loaded by another, which then leads."""
    with Server("unix") as server:
        entered, loaded = (in_a_process(LOAD, server.url, str(SCHEDULES), way) for way in ("enter", "load"))
    what = f"{SCHEDULES:,} schedules"
    return {f"{what}: entered, s": entered[0], f"{what}: loaded, s": loaded[0], f"{what}: memory of their leader, MB": loaded[1]}


def in_a_process(code: str, *args: str) -> Any:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, *args], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def waiting_runs() -> dict[str, float]:
    empty, full = bytes_of_a_waiting_run(""), bytes_of_a_waiting_run(json.dumps({"text": "x" * 88}))
    return {"a waiting Run without params, index included, bytes": empty, "a waiting Run with 100 bytes of params, bytes": full}


def bytes_of_a_waiting_run(params: str) -> float:
    from scheduler.core.ids import new_id
    from scheduler.core.run import Submission
    from scheduler.queue import RunQueue
    from scheduler.store.connect import connect

    with Server("unix") as server:
        server.work.config_set("hash-max-listpack-value", 4096)
        queue = RunQueue(connect(server.url, client_name="bench"), "bench")
        queue.submit([Submission(id=new_id(), task="t", params=params)])
        before = memory(server, queue.prefix)
        queue.submit([Submission(id=new_id(), task="t", params=params) for _ in range(WAITING)])
        return (memory(server, queue.prefix) - before) / WAITING


def memory(server: Server, prefix: str) -> float:
    """Bytes in use, without the stream of events, which is trimmed."""
    return float(server.work.info("memory")["used_memory"]) - float(server.work.memory_usage(f"{prefix}ev", samples=0) or 0)


def processes() -> dict[str, float]:
    return {
        "processes: warm, one at a time, Runs/s": runs_per_s(2000, fresh=False),
        "processes: fresh, one at a time, Runs/s": runs_per_s(100, fresh=True),
    }


def runs_per_s(count: int, *, fresh: bool) -> float:
    from queue import SimpleQueue

    from scheduler.core.ports import Job
    from scheduler.worker.processes import ProcessRunner

    with tempfile.TemporaryDirectory(prefix="bench") as plugins:
        (Path(plugins) / "nothing.py").write_text("def run(): pass\n")
        loader = "scheduler.plugins.loader"
        settings = {"resolver": f"{loader}:resolve", "prepare": f"{loader}:use_folder", "plugins": plugins}
        runner = ProcessRunner(**settings, on_output=lambda *_: None, on_progress=lambda *_: None)
        ended: SimpleQueue[Any] = SimpleQueue()

        def run(number: int) -> None:
            runner.start(Job(f"r{number}", "t", "nothing", {}, 1, 1, None, None, None, fresh, {}), ended.put)
            if (outcome := ended.get()).kind != "ok":
                raise SystemExit(f"a no-op in a process ended as {outcome}")

        run(0)
        began = time.monotonic()
        for number in range(count):
            run(number)
        took = time.monotonic() - began
        runner.close()
    return count / took


def idle() -> dict[str, float]:
    """An instance with the usual worker and nothing to do, over ten seconds."""
    with Server("unix") as server, tempfile.TemporaryDirectory(prefix="bench") as folder:
        (Path(folder) / "env.yaml").write_text(
            f'redis: {{url: "{server.url}", allow_volatile: true}}\nscheduler: {{tasks: tasks.yaml, plugins: {ROOT / "plugins"}}}\n'
            f"web: {{port: {free_port()}}}\n"
        )
        (Path(folder) / "tasks.yaml").write_text("tasks: {health_check: {trigger: none}}\n")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), "-c", f"{folder}/env.yaml"], env=environment, stdout=subprocess.DEVNULL
        )
        time.sleep(6)
        everybody = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        cpu, commands = spent(everybody), server.work.info("stats")["total_commands_processed"]
        time.sleep(10)
        figures = {
            "an idle instance: all its processes, MB": sum(each.memory_info().rss for each in everybody) / 1e6,
            "an idle instance: processor, % of a core": (spent(everybody) - cpu) * 10,
            "an idle instance: commands/s, those within functions included": (
                server.work.info("stats")["total_commands_processed"] - commands
            )
            / 10,
        }
        process.send_signal(signal.SIGINT)
        process.wait(30)
    return figures


def spent(everybody: list[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in everybody)


if __name__ == "__main__":
    sys.exit(main())
