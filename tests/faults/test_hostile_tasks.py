"""T12: hostile tasks, each beside eight innocent neighbours."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import psutil
import pytest

from scheduler.core.clock import sleep
from scheduler.core.run import Run
from tests.faults.cluster import Cluster, Instance, crowded, task, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(60)]
TIMEOUT_S = 1
POOL = 6


class Case(NamedTuple):
    """How it runs, where it must end, and what its error must say. ``kills``: it may cost its worker, isolation promises nothing."""

    function: str
    how: str = "processpool"
    state: str = "failed"
    reason: str = "error"
    says: str = ""
    policy: dict[str, Any] = {}  # noqa: RUF012  never changed
    kills: bool = False

    @property
    def name(self) -> str:
        return f"{self.function}-{self.how}".replace("default", "thread").replace("processpool", "process")


LATE: dict[str, Any] = {"timeout": TIMEOUT_S}
CASES = [
    Case("kill_self", reason="crashed", says="SIGKILL"),
    Case("segfault", reason="crashed", says="SIGSEGV"),
    Case("stack_overflow", reason="crashed", says="SIGSEGV"),
    Case("abort", reason="crashed", says="SIGABRT"),
    Case("exit_hard", reason="crashed", says="code 3"),
    Case("exit_softly", says="exit(0)"),
    Case("interrupt"),
    Case("generator_exit"),
    Case("close_all_files", reason="crashed"),
    Case("spin", reason="timed_out", says="1秒", policy=LATE),
    Case("backtrack", reason="timed_out", policy=LATE),
    Case("sleep_in_c", reason="timed_out", policy=LATE),
    Case("stop_self", reason="timed_out", policy=LATE),
    Case("ignore_term", reason="timed_out", policy=LATE),
    Case("catch_everything", reason="timed_out", policy=LATE),
    Case("double_fork", state="succeeded", reason=""),
    Case("leave_a_shell", state="succeeded", reason=""),
    Case("leave_a_thread", state="succeeded", reason=""),
    Case("leave_a_process", state="succeeded", reason=""),
    Case("fork_and_return", state="succeeded", reason=""),
    Case("flood", state="succeeded", reason=""),
    Case("babble", state="succeeded", reason=""),
    Case("close_output", state="succeeded", reason=""),
    Case("change_everything", state="succeeded", reason=""),
    Case("return_lock", state="succeeded", reason="", says="lock"),
    Case("return_nan", state="succeeded", reason="", says="dict"),
    Case("return_circle", state="succeeded", reason="", says="list"),
    Case("return_surrogate", state="succeeded", reason="", says="str"),
    Case("return_much", state="succeeded", reason="", says="larger"),
    Case("raise_two_arguments", says="a"),
    Case("raise_speechless", says="cannot be shown"),
    Case("raise_much", says="xxxx"),
    Case("recurse", says="recursion"),
    Case("exhaust"),
    Case("hog", reason="oom", says="limit", policy={"memory_limit": "150MB"}),
    Case("segfault", state="dead", reason="poison", policy={"max_attempts": 100}),
    Case("spin", "default", reason="timed_out", policy=LATE),
    Case("sleep_long", "default", reason="timed_out", policy=LATE),
    Case("catch_everything", "default", reason="timed_out", policy=LATE),
    Case("exit_softly", "default", says="exit(0)"),
    Case("interrupt", "default"),
    Case("generator_exit", "default"),
    Case("recurse", "default", says="recursion"),
    Case("exhaust", "default"),
    Case("raise_speechless", "default", says="cannot be shown"),
    Case("return_circle", "default", state="succeeded", reason="", says="list"),
    Case("return_much", "default", state="succeeded", reason="", says="larger"),
    Case("leave_a_thread", "default", state="succeeded", reason=""),
    Case("close_output", "default", state="succeeded", reason=""),
    Case("sleep_in_c", "default", reason="timed_out", policy=LATE, kills=True),
    Case("kill_self", "default", state="dead", reason="poison", says="SIGKILL", kills=True),
    Case("swallow_cancel", "asyncio", reason="timed_out", policy=LATE),
    Case("block_the_loop", "asyncio", reason="timed_out", policy=LATE),
    Case("spin_in_the_loop", "asyncio", reason="timed_out", policy=LATE),
    Case("hold_the_interpreter", "asyncio", reason="timed_out", policy=LATE, kills=True),
    Case("exit_the_loop", "asyncio", says="exit(4)"),
    Case("interrupt_the_loop", "asyncio"),
    Case("stop_the_loop", "asyncio", state="succeeded", reason=""),
    Case("leave_tasks", "asyncio", state="succeeded", reason=""),
]
NAMES = [f"{case.name}{'-again' if case.policy.get('max_attempts') else ''}" for case in CASES]
NEIGHBOURS = ["thread"] * 3 + ["child"] * 2 + ["coroutine"] * 3


def tasks() -> dict[str, Any]:
    hostile = {name: task(f"hostile:{case.function}", executor=case.how, **case.policy) for name, case in zip(NAMES, CASES, strict=True)}
    return hostile | {"thread": task("nap"), "child": task("nap", executor="processpool"), "coroutine": task("doze")}


@pytest.fixture(scope="module")
def village() -> Iterator[tuple[Cluster, Instance]]:
    """One worker with slots of all kinds, for all cases one after the other."""
    cluster = Cluster(tasks(), scheduler={"executors": {"default_threads": 10, "process_pool": POOL, "async_slots": 10}})
    instance = cluster.instance("a").start()
    yield cluster, instance
    codes = cluster.stop()
    left = until(lambda: not cluster.leftovers() or cluster.leftovers(), 3, "")
    cluster.close()
    assert codes == [0]
    assert left is True


def strays(cluster: Cluster, instance: Instance) -> list[str]:
    """Processes that belong to nobody: below the worker there may be a fork server and its direct children, no more than slots."""
    found = []
    for pid in instance.workers().values():
        for server in psutil.Process(pid).children():
            children = server.children()
            found += [str(grandchild) for child in children for grandchild in child.children(recursive=True)]
            found += [str(child) for child in children if "zygote" not in "".join(child.cmdline())]
            found += ["too many children"] * (len(children) > POOL)
    known = {p.pid for pid in [instance.pid] for p in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]}
    return found + [line for pid, line in cluster.leftovers().items() if pid not in known and psutil.pid_exists(pid)]


def rss(instance: Instance) -> int:
    return sum(psutil.Process(pid).memory_info().rss for pid in instance.workers().values())


def took_s(cluster: Cluster, run: str) -> float:
    """From the first claim to the end."""
    events = cluster.history().runs[run]
    return (events[-1].ms - next(event.ms for event in events if event.type == "running")) / 1000


def error_text(run: Run) -> str:
    return f"{run.error['type']}: {run.error['message']}" if run.error else ""


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in zip(NAMES, CASES, strict=True)])
def test_hostile(case: Case, request: pytest.FixtureRequest, village: tuple[Cluster, Instance], figures: Callable[[str], None]) -> None:
    """It ends where it must and in time, eight neighbours do not notice, no process is left."""
    cluster, instance = village
    until(instance.workers, 15, "a worker")
    cluster.await_end(cluster.center.submit_many(NEIGHBOURS), 15)
    before, memory = instance.workers(), rss(instance)
    run = cluster.center.submit(request.node.callspec.id)
    sleep(0.05)
    neighbours = cluster.center.submit_many([(kind, {"seconds": 0.3}) for kind in NEIGHBOURS])
    (ended,) = cluster.await_end([run], 20)
    good = cluster.await_end(neighbours, 15)
    text = error_text(ended)
    assert (ended.state, ended.reason) == (case.state, case.reason), text
    assert case.says in text
    assert {neighbour.state for neighbour in good} == {"succeeded"}
    duration_s = took_s(cluster, run)
    assert duration_s <= (TIMEOUT_S + crowded(1) if case.policy is LATE else crowded(4))
    if not case.kills:
        assert instance.workers() == before, "the same worker, under the same process id"
        assert [neighbour.claims for neighbour in good] == [1] * 8
        assert rss(instance) - memory <= 20_000_000
    until(lambda: not strays(cluster, instance), 3, "no process is left")
    cluster.history().check()
    assert max((path.stat().st_size for path in (cluster.folder / "logs").rglob("*.log")), default=0) < 10_100_000, "logs are bounded"
    figures(f"{ended.state} {ended.reason} after {duration_s:.2f} s: {text[:60]}")
