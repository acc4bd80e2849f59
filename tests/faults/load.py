"""The load of the fault runs that disturb the store: Runs of three kinds beside five schedules, and how the books are closed."""

from random import Random
from typing import Any

from scheduler.center import SchedulerCenter
from scheduler.core.clock import monotonic, sleep
from tests.faults.cluster import Cluster, task
from tests.faults.history import History

SLOTS = {"executors": {"default_threads": 4, "process_pool": 1, "async_slots": 4}}
TASKS: dict[str, Any] = {
    "nap": task("nap"),
    "doze": task("doze"),
    "child": task("nap", executor="processpool"),
    **{f"tick{n}": task("nothing", trigger="interval", args={"seconds": 1}, priority=10, max_instances=1000) for n in range(5)},
}


def requests(count: int, longest_s: float, name: str) -> list[dict[str, Any]]:
    random = Random(3)
    kinds = ["nap"] * 7 + ["doze"] * 2 + ["child"]
    return [
        {"task": kinds[n % 10], "params": {"seconds": round(random.uniform(0.02, longest_s), 3)}, "run_id": f"{name}{n}"}
        for n in range(count)
    ]


def submit_until_told(center: SchedulerCenter, batch: list[dict[str, Any]], within_s: float = 20) -> list[str]:
    """As a careful client does: under the same ids again until it hears that it worked."""
    deadline = monotonic() + within_s
    while True:
        try:
            return center.submit_many(batch)
        except Exception:
            if monotonic() > deadline:
                raise
            sleep(0.05)


def close_the_books(cluster: Cluster, runs: list[str], within_s: float) -> History:
    """No more fires; everything ends; the judge."""
    for name in TASKS:
        cluster.queue.pause("schedule", name)
    cluster.await_end(runs, within_s)
    ticks = [run for run in cluster.history().runs if "@" in run]
    cluster.await_end(ticks, 20)
    history = cluster.history()
    history.check(runs)
    assert history.ended() == {"succeeded": len(runs) + len(ticks)}
    for n in range(5):
        fired = history.fired(f"tick{n}")
        assert fired == list(range(fired[0], fired[0] + 1000 * len(fired), 1000)), f"tick{n}: each second once, none missing"
    return history
