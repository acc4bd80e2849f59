"""Named points in the life of a Run and of a fire at which a process kills itself: once, and as soon as the test says ``armed``.

The product knows nothing of them: its methods are wrapped from outside, in the processes of a cluster that asks for it.
"""

import os
import pkgutil
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Literal, NamedTuple

WORKER, CHILD, INSTANCE, CLIENT = "scheduler.worker_process", "scheduler.worker.zygote", "instance.py", "-c"
Test = Callable[[tuple[Any, ...], Any], bool]


class Point(NamedTuple):
    """``process``: what its command line contains. ``holds`` looks at the arguments and (when ``after``) at the answer."""

    process: str
    place: str
    when: Literal["before", "after"] = "before"
    holds: Test = lambda _args, _answer: True
    victim: Callable[[], int] = os.getpid


def _claims(_: tuple[Any, ...], answer: Any) -> bool:
    return bool(answer.claims)


def _settles(args: tuple[Any, ...], _: Any) -> bool:
    return len(args) > 4 and bool(args[4])


def _hands_back(args: tuple[Any, ...], _: Any) -> bool:
    return _settles(args, None) and any(settlement.state == "pending" for settlement in args[4])


def _found(_: tuple[Any, ...], answer: Any) -> bool:
    return bool(answer)


def _moved(_: tuple[Any, ...], answer: Any) -> bool:
    return bool(answer.moved)


QUEUE, BOOK = "scheduler.queue.runqueue:RunQueue", "scheduler.queue.schedules:ScheduleBook"
POINTS = {
    "worker enrols": Point(WORKER, f"{QUEUE}.enroll"),
    "worker has enrolled": Point(WORKER, f"{QUEUE}.enroll", "after"),
    "worker asks for work": Point(WORKER, f"{QUEUE}.turn"),
    "worker has claimed": Point(WORKER, f"{QUEUE}.turn", "after", _claims),
    "worker has accepted": Point(WORKER, "scheduler.worker.loop:Worker._accept", "after"),
    "worker calls the code": Point(WORKER, "scheduler.worker.slots:Slots.call_here"),
    "worker's code has its effect": Point(WORKER, "scheduler.worker.attempt:outcome_of_result"),
    "worker judges": Point(WORKER, "scheduler.worker.loop:Worker._on_end"),
    "worker settles": Point(WORKER, f"{QUEUE}.turn", "before", _settles),
    "worker has settled": Point(WORKER, f"{QUEUE}.turn", "after", _settles),
    "worker hands back": Point(WORKER, f"{QUEUE}.turn", "before", _hands_back),
    "worker has handed back": Point(WORKER, f"{QUEUE}.turn", "after", _hands_back),
    "worker starts a child": Point(WORKER, "scheduler.worker.processes:ProcessRunner.start", "after"),
    "child calls the code": Point(CHILD, "scheduler.worker.child:Child._run"),
    "child's code has its effect": Point(CHILD, "scheduler.worker.child:outcome_of_result"),
    "child has told the end": Point(CHILD, "scheduler.worker.child:Child._run", "after"),
    "fork server": Point(CHILD, "scheduler.worker.child:Child._run", victim=os.getppid),
    "instance defines": Point(INSTANCE, f"{QUEUE}.define", "after"),
    "instance enters schedules": Point(INSTANCE, f"{BOOK}.save_schedules"),
    "instance has entered schedules": Point(INSTANCE, f"{BOOK}.save_schedules", "after"),
    "supervisor has spawned": Point(INSTANCE, "scheduler.worker.supervisor:Supervisor._spawn", "after"),
    "supervisor beats": Point(INSTANCE, f"{QUEUE}.beat"),
    "supervisor has beaten": Point(INSTANCE, f"{QUEUE}.beat", "after"),
    "supervisor sees a death": Point(INSTANCE, f"{QUEUE}.abandon"),
    "supervisor has fenced": Point(INSTANCE, f"{QUEUE}.abandon", "after"),
    "rescuer has found orphans": Point(INSTANCE, f"{QUEUE}.orphans", "after", _found),
    "rescuer has decided": Point(INSTANCE, f"{QUEUE}.settle", "after"),
    "sweeper sweeps": Point(INSTANCE, f"{QUEUE}.sweep"),
    "sweeper has moved the due": Point(INSTANCE, f"{QUEUE}.sweep", "after", _moved),
    "leader is elected": Point(INSTANCE, f"{BOOK}.elect", "after"),
    "leader fires": Point(INSTANCE, f"{BOOK}.fire"),
    "leader has fired": Point(INSTANCE, f"{BOOK}.fire", "after"),
    "leader resigns": Point(INSTANCE, f"{BOOK}.resign"),
    "leader has resigned": Point(INSTANCE, f"{BOOK}.resign", "after"),
    "client submits": Point(CLIENT, f"{QUEUE}.submit"),
    "client has submitted": Point(CLIENT, f"{QUEUE}.submit", "after"),
}


def arm(name: str) -> None:
    """Wrap the place of this point, if this is its process."""
    point = POINTS[name]
    if not any(point.process in word for word in sys.orig_argv):
        return
    owner_name, _, attribute = point.place.replace(":", ".").rpartition(".")
    owner = pkgutil.resolve_name(owner_name)
    setattr(owner, attribute, _wrapped(getattr(owner, attribute), point))


def _wrapped(original: Callable[..., Any], point: Point) -> Callable[..., Any]:
    @wraps(original)
    def reach(*args: Any, **kwargs: Any) -> Any:
        if point.when == "before" and point.holds(args, None):
            _crash(point)
        answer = original(*args, **kwargs)
        if point.when == "after" and point.holds(args, answer):
            _crash(point)
        return answer

    return reach


def _crash(point: Point) -> None:
    folder = Path(os.environ["PYTHON_CLUSTER"])
    if not (folder / "armed").exists():
        return
    try:
        (folder / "reached").touch(exist_ok=False)
    except FileExistsError:  # once is enough
        return
    os.kill(point.victim(), signal.SIGKILL)
