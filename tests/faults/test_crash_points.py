"""T02: death at every named point of a Run's and a fire's life; each time all invariants hold afterwards."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from scheduler.core.clock import monotonic, now_ms
from tests.faults.cluster import Cluster, Instance, task, until
from tests.faults.hooks.crashpoints import CHILD, CLIENT, POINTS, WORKER

pytestmark = [pytest.mark.faults, pytest.mark.timeout(60)]
AT_START = {"worker enrols", "worker has enrolled", "supervisor has spawned", "leader is elected"} | {
    n for n in POINTS if n.startswith("instance")
}
AT_STOP = {"worker hands back", "worker has handed back", "leader resigns", "leader has resigned"}
AT_DEATH = {"supervisor sees a death", "supervisor has fenced", "rescuer has found orphans", "rescuer has decided"}
SLOTS = {"executors": {"default_threads": 3, "process_pool": 2}}
TASKS = {
    "nap": task("nap"),
    "child": task("nap", executor="processpool", max_attempts=3),
    "tick": task("nothing", trigger="interval", args={"seconds": 1}, max_instances=1000),
}
SUBMIT = """
import sys
from scheduler import SchedulerCenter
SchedulerCenter("client.yaml").submit_many([{"task": "nap", "run_id": run} for run in sys.argv[1:]])
"""


def submit(cluster: Cluster) -> list[str]:
    """Two that last longer than the grace of a stop, and short ones of each kind."""
    naps = [("nap", {"seconds": 1.3})] * 2 + [("nap", {"seconds": 0.1})] * 5 + [("child", {"seconds": 0.2})] * 3
    return [*cluster.center.submit_many(naps), cluster.center.submit("nap", delay=0.3)]


def submit_from_outside(cluster: Cluster, crash: str) -> list[str]:
    """A client that dies, and asks again under the same ids."""
    runs = [f"client-{n}" for n in range(5)]
    for point in (crash, ""):
        environment = cluster.environment | ({"PYTHON_CRASH": point} if point else {})
        code = subprocess.run(
            [sys.executable, "-c", SUBMIT, *runs], cwd=cluster.folder, env=environment, check=False, stderr=subprocess.DEVNULL
        )
        assert code.returncode == (-signal.SIGKILL if point else 0)
    return runs


def provoke(cluster: Cluster, instance: Instance, name: str) -> None:
    """What must happen so that the point is reached at all."""
    if name in AT_STOP:
        instance.signal(signal.SIGTERM)
    if name in AT_DEATH:
        until(lambda: any(e.phase == "start" for e in cluster.effects()), 10, "work has begun")
        for pid in instance.workers().values():
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("name", POINTS)
def test_death_at(name: str, clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """A process dies just there; what died is started again: every invariant holds."""
    cluster = clusters(TASKS, scheduler=SLOTS, worker={"shutdown_timeout": 1})
    reached, armed = cluster.folder / "reached", cluster.folder / "armed"
    if name in AT_START:
        armed.touch()
    instance = cluster.instance("a", crash=name).start(wait=False)
    if name not in AT_START:
        instance.await_ready()
    armed.touch()
    runs = submit_from_outside(cluster, name) if POINTS[name].process == CLIENT else submit(cluster)
    if name not in AT_START:
        until(lambda: any(e.phase == "start" for e in cluster.effects()) or reached.exists(), 10, "work has begun")
    provoke(cluster, instance, name)
    until(reached.exists, 15, f"the point {name!r} is reached\n{instance.log()[-2000:]}")
    began = monotonic()
    if POINTS[name].process not in {WORKER, CHILD, CLIENT} or name in AT_STOP:
        instance.wait(10)
        instance = cluster.instance("b").start()
    cluster.await_end(runs, 20)
    took_s = monotonic() - began
    _settle(cluster, runs)
    figures(f"all ended {took_s:.1f} s later")


def _settle(cluster: Cluster, runs: list[str]) -> None:
    """Stop firing, let the last fires end, and judge."""
    cluster.queue.pause("schedule", "tick")
    history = cluster.history()
    ticks = [subject for subject in history.runs if subject.startswith("tick@")]
    cluster.await_end(ticks, 10)
    history = cluster.history()
    history.check(runs)
    assert history.ended() == {"succeeded": len(runs) + len(ticks)}
    fired = history.fired("tick")
    assert fired == list(range(fired[0], fired[0] + 1000 * len(fired), 1000)), "each second once, none missing"
    assert now_ms() - fired[-1] < 5000
