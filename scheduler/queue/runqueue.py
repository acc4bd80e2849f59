"""RunQueue: the live state behind one object. Each method is one atomic step in Redis; nothing else writes Run state."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scheduler.core.errors import IntakeClosedError
from scheduler.core.ports import Enrolment, Free, Orphan, Sweep, Turn
from scheduler.core.run import Run, Settlement, Submission
from scheduler.core.states import State
from scheduler.core.task import Task
from scheduler.queue.functions import Functions
from scheduler.queue.keys import prefix
from scheduler.queue.records import claim_from_reply, run_from_hash, settlement_args, submission_args

_CHUNK = 500  # Runs per call: the server stays responsive, the reply small
_log = logging.getLogger(__name__)


class RunQueue:
    """The queue of one centre. ``client`` (a redis.Redis) decodes responses and never replays on its own."""

    def __init__(self, client: Any, centre: str) -> None:
        self.client = client
        self.prefix = prefix(centre)
        self.functions = Functions(client, self.prefix)
        self._call = self.functions.call

    # ── Runs enter ────────────────────────────────────────────────────────────────────────────────────────────────

    def submit(self, submissions: Sequence[Submission]) -> list[str]:
        """Enter Runs, each at most once; answers as in ``submit.lua``. IntakeClosedError when the store's memory is full."""
        answers: list[str] = []
        for start in range(0, len(submissions), _CHUNK):
            args: list[Any] = []
            for submission in submissions[start : start + _CHUNK]:
                args.extend(submission_args(submission))
            answers.extend(self._enter("submit", *args))
        return answers

    def retry(self, run_id: str) -> str:
        """A failed, dead or cancelled Run starts over: ok, succeeded, active or gone. IntakeClosedError as with ``submit``."""
        return str(self._enter("retry", run_id))

    def _enter(self, verb: str, *args: Any) -> Any:
        try:
            return self._call(verb, *args)
        except Exception as error:
            if "command not allowed when used memory" not in str(error):
                raise
            raise IntakeClosedError("the store's memory is full (maxmemory): new Runs are refused until others have finished") from error

    # ── Workers ───────────────────────────────────────────────────────────────────────────────────────────────────

    def enroll(self, worker: Enrolment, lease_ms: int) -> bool:
        """A worker enters service; False when its id was used before and lost its lease."""
        served = "*" if "*" in worker.queues else f",{','.join(worker.queues)},"
        facts = (worker.id, lease_ms, worker.host, worker.pid, worker.slots, served)
        chunks = [worker.tasks[start : start + 1000] for start in range(0, len(worker.tasks), 1000)] or [()]
        return all(self._call("enroll", *facts, *chunk) == "ok" for chunk in chunks)

    def beat(self, workers: Sequence[str], lease_ms: int) -> dict[str, bool]:
        """Renew the leases of these workers; False for one that has lost its own."""
        if not workers:
            return {}
        return {worker: answer == "ok" for worker, answer in zip(workers, self._call("beat", lease_ms, *workers), strict=True)}

    def turn(self, worker: str, nonce: str, free: Free, settlements: Sequence[Settlement] = ()) -> Turn:
        """Settle what ended and claim as many Runs as there are free slots. Repeat it with the same nonce when the reply was lost."""
        args: list[Any] = []
        for settlement in settlements:
            args.extend(settlement_args(settlement))
        status, answers, claims = self._call("turn", worker, nonce, *free, *args)
        return Turn(status == "fenced", answers, [claim_from_reply(row) for row in claims])

    def settle(self, settlements: Sequence[Settlement]) -> list[str]:
        """Settle in the name of a worker that is gone; the token still decides."""
        return self.turn("", "", Free(), settlements).answers

    def wake_key(self, worker: str) -> str:
        """The list this worker blocks on while it has nothing to do."""
        return f"{self.prefix}wake:{worker}"

    def cancels(self, worker: str) -> tuple[dict[str, str], list[str]]:
        """Runs this worker must stop (with the reason), and all Runs the store believes it holds."""
        told, held = self._call("cancels", worker)
        return dict(zip(told[::2], told[1::2], strict=True)), held

    def report(self, run_id: str, token: int, percent: int, message: str) -> bool:
        """Store progress; False when the Run is no longer this worker's."""
        return bool(self._call("report", run_id, token, percent, message) == "ok")

    def abandon(self, worker: str) -> None:
        """Fence a worker whose process has ended, without waiting for its lease."""
        self._call("abandon", worker)

    def orphans(self, worker: str, most: int = 100) -> list[Orphan]:
        """Runs a fenced worker still holds; [] once it holds none, and then it is forgotten."""
        held, foreign = self._call("orphans", worker, most)
        if foreign:
            _log.error("the records of these Runs are not whole; moved to %sbad: for a week: %s", self.prefix, ", ".join(foreign))
        return [Orphan(claim_from_reply(row), int(row[8])) for row in held]

    def sweep(self, *, expected_ms: int | None, longest_lease_ms: int, thorough: bool = True, most: int = 200) -> Sweep:
        """Move what is due, open lanes whose time has come, fence workers whose lease ran out.

        ``expected_ms``: what the store's clock should say. When it says something else by more than a second, or for None,
        nobody is fenced.
        """
        now, next_due, fenced, moved = self._call(
            "sweep", most, "" if expected_ms is None else expected_ms, longest_lease_ms, int(thorough)
        )
        return Sweep(int(now), int(next_due), fenced, int(moved))

    def retain(self, *, keep: int, keep_ms: int, events: int, most: int = 200) -> int:
        """Let finished Runs go that are too many or too old; how many left."""
        return int(self._call("retain", keep, keep_ms, most, events))

    # ── People ────────────────────────────────────────────────────────────────────────────────────────────────────

    def cancel(self, run_id: str, reason: str = "cancelled") -> str:
        """cancelled, cancelling (its worker was told), ended or gone."""
        return str(self._call("cancel", run_id, " ".join(reason.split())[:200] or "cancelled"))

    def pause(self, kind: str, name: str, *, on: bool = True) -> bool:
        """Pause or resume a ``task``, ``queue`` or ``schedule``; False when it was so already."""
        return bool(self._call("pause", kind, name, int(on)) == "ok")

    def paused(self, kind: str) -> set[str]:
        return {name.partition("/")[2] for name in self.client.smembers(f"{self.prefix}paused") if name.startswith(f"{kind}/")}

    def purge(self, what: str, name: str = "") -> int:
        """Cancel all waiting Runs of a ``queue``, or delete ``dead`` letters (all, or the one named); how many."""
        if what == "dead":
            return self._purge("dead", name)
        total = 0
        while count := sum(self._purge("lane", lane) for lane in self._lanes(name)):
            total += count
        return total

    def withdraw(self, task: str, reason: str) -> None:
        """Cancel what waits of a task."""
        for queue in self.client.hkeys(f"{self.prefix}queues"):
            for lane in self._lanes(queue):
                if lane.partition("/")[2].partition("#")[0] == task:
                    self._purge("lane", lane, reason)
        for run in list(self.find(state=State.DELAYED, task=task, limit=2000)):
            self.cancel(run.id, reason)

    def _purge(self, what: str, name: str, reason: str = "purged") -> int:
        total = 0
        while count := int(self._call("purge", what, name, 200, reason)):
            total += count
        return total

    def _lanes(self, queue: str) -> list[str]:
        """The lanes of a queue, open and closed; one that changes over in between may be among them twice, or missing."""
        closed = (lane for lane, _ in self.client.zscan_iter(f"{self.prefix}closed", count=1000))
        return [*self.client.zrange(f"{self.prefix}q:{queue}", 0, -1), *(lane for lane in closed if lane.startswith(f"{queue}/"))]

    def define(self, tasks: Sequence[Task], *, added: bool = False) -> None:
        """Tell the queue the limits of these tasks; those ``added`` by a program are kept there as a whole."""
        for start in range(0, len(tasks), _CHUNK):
            args: list[Any] = []
            for task in tasks[start : start + _CHUNK]:
                rates = ",".join(f"{limit.max_calls}/{limit.window_ms}" for limit in task.rate_limits)
                slot, definition = "" if task.slot == "default" else task.slot, json.dumps(task.to_dict()) if added else ""
                args += [task.name, task.max_instances or "", rates, slot, definition]
            self._call("define", *args)

    def order(self, queue: str, order: str) -> None:
        """``fifo`` or ``lifo`` for what is submitted from now on."""
        self._call("order", queue, order)

    # ── Looking ───────────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, run_id: str) -> Run | None:
        """The Run, or None: unknown, retired, or its record is none of ours."""
        return run_from_hash(run_id, self.client.hgetall(f"{self.prefix}r:{run_id}"))

    def find(self, *, state: str = "", task: str = "", limit: int = 100) -> Iterator[Run]:
        """Runs in this state (all states when ''), newest first within a state; looks at no more than a few thousand."""
        found = 0
        for wanted in [State(state)] if state else [State.RUNNING, State.PENDING, State.DELAYED, State.DEAD, State.SUCCEEDED]:
            for run_id in self._ids(wanted):
                if found >= limit:
                    return
                run = self.get(run_id)
                if run and (not state or run.state == state) and (not task or run.task == task):
                    found += 1
                    yield run

    def _ids(self, state: State) -> Iterator[str]:
        p, most = self.prefix, 2000
        reads: dict[State, list[str]] = {State.DELAYED: ["delayed"], State.DEAD: ["dead"]}
        if state is State.RUNNING:
            for worker in [*self._range("leases", most), *self._range("fenced", most)]:
                yield from sorted(self.client.smembers(f"{p}own:{worker}"), reverse=True)
            return
        if state is State.PENDING:
            for queue in self.client.hkeys(f"{p}queues"):
                for lane in self._range(f"q:{queue}", most):
                    yield from self._range(f"lane:{lane}", most)
            for lane in self._range("closed", most):
                yield from self._range(f"lane:{lane}", most)
            return
        for key in reads.get(state, ["done"]):
            yield from self.client.zrevrange(f"{p}{key}", 0, most)

    def _range(self, key: str, most: int) -> list[str]:
        return list(self.client.zrange(f"{self.prefix}{key}", 0, most))

    # ── GPUs ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def reserve_gpu(self, run_id: str, capacity_mb: Mapping[str, int], need_mb: int, count: int) -> list[str]:
        """``need_mb`` on ``count`` of these cards (uuid → MiB all Runs may hold together, best first), or []."""
        cards = [fact for card in capacity_mb.items() for fact in card]
        return list(self._call("reserve_gpu", run_id, need_mb, count, *cards))

    def release_gpu(self, run_id: str) -> None:
        self._call("release_gpu", run_id)

    # ── Logs ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def save_log(self, run_id: str, tail: str, total: int, ttl_s: int = 86_400) -> None:
        """Keep the tail of a Run's output; ``total`` counts all bytes ever written, so that a reader can follow."""
        self.client.set(f"{self.prefix}log:{run_id}", json.dumps([total, tail]), ex=ttl_s)

    def read_log(self, run_id: str) -> tuple[int, str]:
        """(bytes written in all, the tail that was kept)."""
        text = self.client.get(f"{self.prefix}log:{run_id}")
        total, tail = json.loads(text) if text else (0, "")
        return int(total), str(tail)
