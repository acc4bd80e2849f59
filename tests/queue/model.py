"""What the queue is, as plain Python: the model that the functions are compared with.

It keeps Runs, closed lanes, workers and schedules as objects, and derives each index from them; the functions keep the indexes
themselves. What Redis must hold, key by key, is ``Model.keys``.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any

from scheduler.core.ports import Enrolment, Free
from scheduler.core.run import Claim, Fire, Settlement, Submission
from scheduler.core.states import TERMINAL
from scheduler.core.task import RateLimit, Schedule, Task

NOW = 1_800_000_000_000
LEASE_MS = 15_000
MINUTE = 60_000


@dataclass
class Known:
    """A Run as the model knows it; fields named as in its record."""

    id: str
    task: str
    queue: str
    priority: int
    params: str
    key: str
    score: int
    created: int
    state: str = "pending"
    reason: str | None = None
    due: int | None = None
    delay: int | None = None
    schedule: str = ""
    at: int | None = None
    token: int = 0
    spared: int | None = None
    losses: int | None = None
    crashes: int | None = None
    worker: str = ""
    started: int = 0
    ended: int | None = None
    busy: str | None = None
    cards: dict[str, int] = field(default_factory=dict)
    cancel: str | None = None
    result: str = ""
    error: str | None = None
    progress: tuple[int, str] | None = None
    log: str | None = None

    @property
    def group(self) -> str:
        return f"{self.task}#{self.key}" if self.key else self.task

    @property
    def lane(self) -> str:
        return f"{self.queue}/{self.group}"

    def claim(self) -> Claim:
        spared, losses, crashes = self.spared or 0, self.losses or 0, self.crashes or 0
        return Claim(self.id, self.token, self.token - spared, self.task, self.params, losses, crashes, self.at)

    def record(self) -> dict[str, str]:
        facts: dict[str, Any] = {"task": self.task, "state": self.state, "score": self.score, "created": self.created}
        facts |= {"queue": self.queue} if self.queue != "default" else {}
        facts |= {"prio": self.priority} if self.priority != 5 else {}
        facts |= {"worker": self.worker, "started": self.started, "token": self.token} if self.token else {}
        facts |= {"prog": self.progress[0], "note": self.progress[1]} if self.progress else {}
        facts |= {"sched": self.schedule, "at": self.at} if self.schedule else {}
        facts |= {name: value for name in ("params", "key", "result") if (value := getattr(self, name))}
        optional = ("reason", "due", "delay", "spared", "losses", "crashes", "ended", "busy", "cancel", "error")
        facts |= {name: value for name in optional if (value := getattr(self, name)) is not None}
        facts |= {"gpu": ",".join(self.cards)} if self.cards else {}
        return {name: str(value) for name, value in facts.items()}


@dataclass
class Shut:
    """A closed lane."""

    look_ms: int
    reason: str
    until_ms: int
    cause: str = ""


@dataclass
class Member:
    """A worker: where its life is, what it knows, what it last said and heard."""

    facts: dict[str, str]
    served: str
    knows: set[str]
    nonce: str = ""
    answers: list[str] = field(default_factory=list)
    claimed: list[str] = field(default_factory=list)
    spoken: bool = False


class Model:
    """What the queue is, in words of Python."""

    def __init__(self) -> None:
        self.now = NOW
        self.runs: dict[str, Known] = {}
        self.orders: dict[str, str] = {}
        self.shut: dict[str, Shut] = {}
        self.policies: dict[str, Task] = {}
        self.paused: set[str] = set()
        self.added: dict[str, str] = {}
        self.arrivals: dict[tuple[str, int, int], int] = {}
        self.members: dict[str, Member] = {}
        self.leases: dict[str, int] = {}
        self.fenced: dict[str, int] = {}
        self.gone: dict[str, int] = {}
        self.idle: dict[str, int] = {}
        self.wakes: dict[str, list[str]] = {}
        self.idempotent: dict[str, tuple[str, str]] = {}
        self.keep: int | None = None
        self.generation = 0
        self.epoch = 0
        self.lead: dict[str, str] = {}
        self.schedules: dict[str, Schedule] = {}
        self.fired: dict[str, tuple[int, int, list[list[int]], int]] = {}  # next, count, ranges, untold
        self.events: list[tuple[str, ...]] = []
        self.arrived: dict[str, int] = {}  # lane → Runs that entered it in this step

    # ── Small words ───────────────────────────────────────────────────────────────────────────────────────────────────

    def tell(self, kind: str, subject: str, token: int = 0, worker: str = "", reason: str = "") -> None:
        self.events.append((kind, subject, str(token), worker, reason))

    def waiting(self, lane: str) -> list[Known]:
        """Of one lane, in order."""
        return sorted((run for run in self.runs.values() if run.state == "pending" and run.lane == lane), key=lambda r: (r.score, r.id))

    def open_lanes(self, queue: str) -> list[tuple[int, str]]:
        """(score of its head, lane), best first."""
        heads: dict[str, int] = {}
        for run in self.runs.values():
            if run.state == "pending" and run.queue == queue and run.lane not in self.shut:
                heads[run.lane] = min(heads.get(run.lane, run.score), run.score)
        return sorted((score, lane) for lane, score in heads.items())

    def held(self, worker: str) -> list[Known]:
        return [run for run in self.runs.values() if run.state == "running" and run.worker == worker]

    def busy(self, group: str) -> list[Known]:
        return [run for run in self.runs.values() if run.state == "running" and run.busy == group]

    def active(self, schedule: str) -> list[Known]:
        return [run for run in self.runs.values() if run.schedule == schedule and run.state not in TERMINAL]

    def can(self, worker: str, lane: str) -> bool:
        member, (queue, _, group) = self.members[worker], lane.partition("/")
        serves = member.served == "*" or f",{queue}," in member.served
        return serves and group.partition("#")[0] in member.knows

    def wake(self, lane: str, count: int) -> None:
        for worker in sorted(self.idle, key=lambda name: (self.idle[name], name)):
            if count and self.can(worker, lane):
                del self.idle[worker]
                self.wakes.setdefault(worker, []).append("work")
                count -= 1

    def close(self, lane: str, reason: str, until_ms: int, cause: str = "") -> None:
        self.shut[lane] = Shut(min(until_ms, self.now + MINUTE), reason, until_ms, cause)

    def open(self, lane: str) -> None:
        self.shut.pop(lane, None)
        if self.waiting(lane):
            self.wake(lane, 1)

    def end_cause(self, cause: str) -> None:
        for lane in sorted(lane for lane, shut in self.shut.items() if shut.cause == cause):
            self.open(lane)

    def arrive(self, run: Known) -> None:
        self.arrived[run.lane] = self.arrived.get(run.lane, 0) + 1

    def settle_down(self) -> None:
        """The Runs that entered lanes are announced."""
        for lane, count in self.arrived.items():
            if lane not in self.shut:
                self.wake(lane, count)
        self.arrived = {}

    def place(self, queue: str, priority: int, ms: int) -> int:
        lifo = self.orders.setdefault(queue, "fifo") == "lifo"
        return (10 - priority) * 10**13 + (10**13 - ms if lifo else ms)

    # ── Runs enter ────────────────────────────────────────────────────────────────────────────────────────────────────

    def submit(self, submissions: list[Submission]) -> list[str]:
        answers = [self.enter(s) for s in submissions]
        self.settle_down()
        return answers

    def enter(self, s: Submission, schedule: str = "", at: int | None = None) -> str:
        if known := self.runs.get(s.id):
            return "duplicate" if (known.task, known.params) == (s.task, s.params) else "conflict"
        key, _, body = s.idempotency.partition(" ")
        if key in self.idempotent and self.idempotent[key][0] != s.id:
            earlier, its_body = self.idempotent[key]
            return f"same {earlier}" if its_body == body else "conflict"
        due = self.now + s.delay_ms if s.delay_ms else s.due_ms
        score = self.place(s.queue, s.priority, max(due, self.now))
        run = Known(s.id, s.task, s.queue, s.priority, s.params, s.key, score, self.now, schedule=schedule, at=at)
        self.runs[s.id] = run
        if key:
            self.idempotent[key] = (s.id, body)
        if due > self.now:
            run.state, run.reason, run.due, run.delay = "delayed", "scheduled", due, s.delay_ms or None
        else:
            self.arrive(run)
        self.tell(run.state, run.id, reason=run.reason or "")
        return "ok"

    def retry(self, run_id: str) -> str:
        run = self.runs.get(run_id)
        if run is None:
            return "gone"
        if run.state == "pending" and run.reason == "retry":
            return "ok"
        if run.state == "succeeded":
            return "succeeded"
        if run.state not in ("failed", "dead", "cancelled"):
            return "active"
        run.state, run.reason, run.spared = "pending", "retry", run.token
        run.score = self.place(run.queue, run.priority, self.now)
        run.losses = run.crashes = run.error = run.ended = run.cancel = run.due = run.delay = run.progress = None
        run.result = ""
        self.tell("pending", run.id, run.token, reason="retry")
        self.arrive(run)
        self.settle_down()
        return "ok"

    # ── Runs end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def end(self, run: Known, state: str, reason: str | None) -> None:
        run.state, run.reason, run.ended = state, reason, self.now

    def cancel(self, run_id: str, reason: str) -> str:
        run = self.runs.get(run_id)
        if run is None:
            return "gone"
        if run.state == "running":
            if run.cancel is None:
                self.wakes.setdefault(run.worker, []).append("cancel")
            run.cancel = reason
            return "cancelling"
        if run.state not in ("pending", "delayed"):
            return "cancelled" if run.state == "cancelled" else "ended"
        self.end(run, "cancelled", reason)
        if run.lane in self.shut and not self.waiting(run.lane):
            del self.shut[run.lane]
        self.tell("cancelled", run.id, run.token, reason=reason)
        return "cancelled"

    def settle(self, s: Settlement) -> str:
        run = self.runs.get(s.id)
        if run is None:
            return "gone"
        if run.token != s.token or not run.token:
            return "fenced"
        if run.state != "running":
            return "done"
        state, reason = str(s.state), s.reason
        if run.cancel is not None and state in ("pending", "delayed"):
            state, reason = "cancelled", run.cancel
        group, run.busy, run.cards = run.busy, None, {}
        run.state = "settling"
        if group:
            self.end_cause(f"busy/{group}")
        run.spared = run.spared if s.burn else (run.spared or 0) + 1
        run.losses = (run.losses or 0) + 1 if s.strike == "loss" else run.losses
        run.crashes = (run.crashes or 0) + 1 if s.strike == "crash" else run.crashes
        run.result = s.result or run.result
        run.error = s.error or (None if state == "succeeded" and run.token > 1 else run.error)
        reason_kept = reason if reason != (run.reason or "") else run.reason
        if state == "delayed":
            run.due, run.delay = self.now + s.delay_ms, s.delay_ms
        elif state == "pending":
            if s.close_lane_ms and run.lane not in self.shut:
                self.close(run.lane, reason.replace(" ", "_") or "gate", self.now + s.close_lane_ms)
            self.arrive(run)
        else:
            run.ended = self.now
        run.state, run.reason = state, reason_kept
        self.tell(state, run.id, run.token, run.worker, reason)
        return "ok"

    def forget_oldest(self, most: int) -> int:
        done = sorted((run for run in self.runs.values() if run.ended is not None and run.state != "dead"), key=lambda r: (r.ended, r.id))
        return self.forget(done[: min(most, max(0, len(done) - (10_000 if self.keep is None else self.keep)))])

    def forget(self, runs: list[Known]) -> int:
        for run in runs:
            del self.runs[run.id]
        return len(runs)

    def purge(self, what: str, name: str) -> int:
        if what == "dead":
            return self.forget([run for run in self.runs.values() if run.state == "dead" and name in ("", run.id)])
        runs = [run for run in self.runs.values() if run.state == "pending" and run.queue == name]
        return sum(self.cancel(run.id, "purged") == "cancelled" for run in runs)

    def retain(self, keep: int, keep_ms: int) -> int:
        self.keep = keep
        removed = self.forget_oldest(200)
        old = [r for r in self.runs.values() if r.ended is not None and r.state != "dead" and r.ended <= self.now - keep_ms]
        return removed + self.forget(old)

    # ── Workers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def enroll(self, worker: Enrolment) -> bool:
        if worker.id in self.fenced or worker.id in self.gone:
            return False
        self.leases[worker.id] = self.now + LEASE_MS
        served = "*" if "*" in worker.queues else f",{','.join(worker.queues)},"
        facts = {"host": worker.host, "pid": str(worker.pid), "slots": str(worker.slots), "queues": served, "started": str(self.now)}
        member = self.members.setdefault(worker.id, Member(facts, served, set()))
        member.facts, member.served = {**facts, "started": member.facts["started"]}, served
        for task in worker.tasks:
            member.knows.add(task)
            self.end_cause(f"unknown/{task}")
        return True

    def beat(self, workers: list[str]) -> dict[str, bool]:
        answers = {worker: worker in self.leases for worker in workers}
        self.leases |= {worker: self.now + LEASE_MS for worker in workers if worker in self.leases}
        return answers

    def fence(self, worker: str) -> None:
        self.leases.pop(worker, None)
        self.idle.pop(worker, None)
        self.fenced.setdefault(worker, self.now)

    def abandon(self, worker: str) -> None:
        if worker not in self.gone:
            self.fence(worker)

    def orphans(self, worker: str) -> list[tuple[Claim, int]]:
        if worker not in self.fenced:
            return []
        held = self.held(worker)
        if not held:
            self.members.pop(worker, None)
            self.wakes.pop(worker, None)
            del self.fenced[worker]
            self.gone[worker] = self.now
        return [(run.claim(), run.started) for run in held]

    def sweep(self, expected_ms: int | None, most: int = 200) -> tuple[int, int, list[str], int]:
        if max(self.leases.values(), default=0) > self.now + LEASE_MS + 1000:
            late = self.now + LEASE_MS + 1000
            self.leases = {worker: self.now + LEASE_MS if until >= late else until for worker, until in self.leases.items()}
        if expected_ms is not None and abs(self.now - expected_ms) <= 1000:
            for worker in [worker for worker, until in self.leases.items() if until <= self.now]:
                self.fence(worker)
        for run in self.runs.values():
            if run.state == "delayed" and run.delay is not None and (run.due or 0) > self.now + run.delay + 1000:
                run.due = self.now + run.delay
        due = sorted((run.due or 0, run.id) for run in self.runs.values() if run.state == "delayed")
        ready = [self.runs[run] for ms, run in due if ms <= self.now][:most]
        for run in ready:
            run.state = "pending"
            self.tell("pending", run.id, run.token, reason="due")
            self.arrive(run)
        self.settle_down()
        self.look_again()
        for queue in self.orders:
            if f"queue/{queue}" not in self.paused and (lanes := self.open_lanes(queue)):
                self.wake(lanes[0][1], 1)
        left = [ms for ms, run in due if self.runs[run].state == "delayed"]
        return self.now, max(0, left[0] - self.now) if left else -1, sorted(self.fenced, key=lambda w: (self.fenced[w], w)), len(ready)

    def look_again(self) -> None:
        order = sorted(self.shut, key=lambda lane: (self.shut[lane].look_ms, lane))
        for lane in [lane for lane in order if self.shut[lane].look_ms <= self.now]:
            shut = self.shut[lane]
            if not shut.cause and shut.until_ms > self.now:
                shut.look_ms = min(shut.until_ms, self.now + MINUTE)
            else:
                self.open(lane)
        for lane in [lane for lane in order if lane in self.shut and self.shut[lane].look_ms > self.now + MINUTE]:
            self.open(lane)

    # ── The turn ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def turn(self, worker: str, nonce: str, free: Free, settlements: list[Settlement]) -> tuple[bool, list[str], list[Claim]]:
        if worker and worker not in self.leases:
            return True, [], []
        member = self.members.get(worker)
        if member and member.spoken and member.nonce == nonce:
            still = [self.runs[run] for run in member.claimed if run in self.runs]
            return False, member.answers, [run.claim() for run in still if run.state == "running" and run.worker == worker]
        told = len(self.events)
        answers = [self.settle(s) for s in settlements]
        self.settle_down()
        claims = self.take(worker, free) if member and any(free) else []
        if len(self.events) > told:
            self.forget_oldest(2 * len(answers) + 10)
        if member and (answers or claims):
            member.nonce, member.answers, member.claimed, member.spoken = nonce, answers, [claim.id for claim in claims], True
        return False, answers, claims

    def take(self, worker: str, free: Free) -> list[Claim]:
        slots, claims = free._asdict(), []
        while any(slots.values()) and (best := self.best_lane(worker, slots)):
            claims += self.take_from(*best, worker, slots)
        if claims:
            self.idle.pop(worker, None)
        else:
            self.idle[worker] = self.now
        return claims

    def best_lane(self, worker: str, slots: dict[str, int]) -> tuple[str, float] | None:
        """The best lane over all queues, and the score at which another lane comes first."""
        heads: list[tuple[int, str]] = []
        bounds: list[float] = []
        for queue in self.orders:
            served = self.members[worker].served
            if f"queue/{queue}" in self.paused or (served != "*" and f",{queue}," not in served):
                continue
            first = self.first_lane(worker, queue, slots)
            if first:
                heads.append(first[:2])
                bounds.append(first[2])
        if not heads:
            return None
        best = min(heads, key=lambda head: head[0])  # of equals the first queue
        at = heads.index(best)
        return best[1], min(bounds[at], *(score for i, (score, _) in enumerate(heads) if i != at), math.inf)

    def first_lane(self, worker: str, queue: str, slots: dict[str, int]) -> tuple[int, str, float] | None:
        while True:
            lanes = self.open_lanes(queue)
            for i, (score, lane) in enumerate(lanes):
                task = lane.partition("/")[2].partition("#")[0]
                if task in self.members[worker].knows:
                    if slots[self.kind(task)] > 0:
                        return score, lane, lanes[i + 1][0] if i + 1 < len(lanes) else math.inf
                elif not any(task in self.members[other].knows for other in self.leases):
                    self.close(lane, "no_worker", self.now + MINUTE, f"unknown/{task}")
                    break
            else:
                return None

    def kind(self, task: str) -> str:
        return self.policies[task].slot if task in self.policies else "default"

    def take_from(self, lane: str, bound: float, worker: str, slots: dict[str, int]) -> list[Claim]:
        runs = self.waiting(lane)
        task = runs[0].task
        want = min(slots[self.kind(task)], max(1, sum(run.score <= bound for run in runs)))
        want = self.admit(lane, runs[0], want)
        policy = self.policies.get(task)
        for run in runs[:want]:
            run.state, run.worker, run.started, run.token = "running", worker, self.now, run.token + 1
            run.busy = run.group if policy and policy.max_instances else None
            self.tell("running", run.id, run.token, worker)
        slots[self.kind(task)] -= want
        return [run.claim() for run in runs[:want]]

    def admit(self, lane: str, run: Known, want: int) -> int:
        policy = self.policies.get(run.task)
        if f"task/{run.task}" in self.paused:
            self.close(lane, "paused", self.now + MINUTE, f"task/{run.task}")
            return 0
        if policy and policy.max_instances:
            want = min(want, policy.max_instances - len(self.busy(run.group)))
            if want <= 0:
                self.close(lane, "concurrency", self.now + MINUTE, f"busy/{run.group}")
                return 0
        return self.within_rates(lane, run.task, policy.rate_limits, want) if policy else want

    def within_rates(self, lane: str, task: str, limits: tuple[RateLimit, ...], want: int) -> int:
        again = 0
        for limit in limits:
            every, key = limit.window_ms // limit.max_calls, (task, limit.max_calls, limit.window_ms)
            if self.arrivals.get(key, 0) > self.now + limit.window_ms + 1:
                self.arrivals[key] = self.now + limit.window_ms
            ahead = max(0, self.arrivals.get(key, 0) - self.now)
            allowed = max(0, limit.window_ms - ahead) // every
            want = min(want, allowed)
            if not allowed:
                again = max(again, self.now + ahead + every - limit.window_ms)
        if not want:
            self.close(lane, "rate_limited", again, f"rate/{task}")
        for limit in limits if want else ():
            key = (task, limit.max_calls, limit.window_ms)
            self.arrivals[key] = max(self.now, self.arrivals.get(key, 0)) + want * (limit.window_ms // limit.max_calls)
        return want

    # ── People ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def define(self, task: Task, *, added: bool = False) -> None:
        self.policies[task.name] = task
        definition = json.dumps(task.to_dict())
        if added and self.added.get(task.name) != definition:
            self.added[task.name] = definition
            self.generation += 1
        self.end_cause(f"busy/{task.name}")
        self.end_cause(f"rate/{task.name}")

    def pause(self, kind: str, name: str, *, on: bool) -> bool:
        word = f"{kind}/{name}"
        changed = (word not in self.paused) == on
        (self.paused.add if on else self.paused.discard)(word)
        if kind == "task" and not on:
            self.end_cause(word)
        if kind == "queue" and not on and (lanes := self.open_lanes(name)):
            self.wake(lanes[0][1], 64)
        if kind == "schedule":
            self.generation += 1
            if changed and not on:
                self.go_on(name)
        if changed:
            self.tell("paused" if on else "resumed", name, reason=kind)
        return changed

    def report(self, run_id: str, token: int, percent: int, message: str) -> bool:
        run = self.runs.get(run_id)
        if run is None or run.token != token or run.state != "running":
            return False
        if run.progress != (percent, message):
            run.progress = (percent, message)
            self.tell("progress", run.id, token, run.worker)
        return True

    def reserve_gpu(self, run_id: str, capacity: dict[str, int], need: int, count: int) -> list[str]:
        run = self.runs.get(run_id)
        if run is None or run.state != "running":
            return []
        if not run.cards:
            held = {card: sum(r.cards.get(card, 0) for r in self.runs.values()) for card in capacity}
            fit = [card for card, most in capacity.items() if held[card] + need <= most][:count]
            run.cards = dict.fromkeys(fit, need) if len(fit) == count else {}
        return list(run.cards)

    def release_gpu(self, run_id: str) -> None:
        if run_id in self.runs:
            self.runs[run_id].cards = {}

    # ── Schedules ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def elect(self, instance: str) -> int:
        holder, until = self.lead.get("id"), int(self.lead.get("until", 0))
        until = min(until, self.now + 5000)
        if holder:
            self.lead["until"] = str(until)
        if holder and holder != instance and until > self.now:
            return 0
        if holder != instance or until <= self.now:
            self.epoch += 1
        facts = {"id": instance, "until": self.now + 5000, "epoch": self.epoch, "heard": self.now}
        self.lead = {name: str(value) for name, value in facts.items()}
        return self.epoch

    def resign(self, instance: str) -> None:
        if self.lead.get("id") == instance:
            self.lead |= {"until": "0", "heard": str(self.now)}

    def add_schedule(self, schedule: Schedule) -> None:
        known = self.schedules.get(schedule.name)
        self.schedules[schedule.name] = schedule
        self.generation += 1
        if known is None or known.args != schedule.args:
            self.begin_anew(schedule.name)

    def remove_schedule(self, name: str) -> None:
        self.schedules.pop(name, None)
        self.fired.pop(name, None)
        self.added.pop(name, None)
        self.paused.discard(f"schedule/{name}")
        self.generation += 1

    def begin_anew(self, name: str) -> None:
        _, fires, ranges, _ = self.fired.get(name, (0, 0, [], 0))
        self.fired[name] = (0, fires, self.settled_at(ranges, self.now), 0)

    def go_on(self, name: str) -> None:
        _, fires, ranges, untold = self.fired.get(name, (0, 0, [], 0))
        if not untold and ranges and ranges[-1][1] < self.now - 1:
            untold = ranges[-1][1]
        self.fired[name] = (0, fires, self.settled_at(ranges, self.now - 1), untold)

    def settled_at(self, ranges: list[list[int]], instant: int) -> list[list[int]]:
        known = any(first <= instant <= last for first, last in ranges)
        return ranges if known else self.with_instant(ranges, instant, 0)

    @staticmethod
    def with_instant(ranges: list[list[int]], instant: int, previous: int) -> list[list[int]]:
        for i, (first, last) in enumerate(ranges):
            if previous and last == previous:
                return [*ranges[:i], [first, instant], *ranges[i + 1 :]]
        ranges = sorted([*ranges, [instant, instant]], key=lambda pair: pair[0])
        return ranges if len(ranges) <= 8 else [[ranges[0][0], ranges[1][1]], *ranges[2:]]

    def fire(self, epoch: int, fires: list[Fire]) -> list[str]:
        if str(epoch) != self.lead.get("epoch"):
            return ["stale"] * len(fires)
        answers = [self.fire_one(fire) for fire in fires]
        self.settle_down()
        return answers

    def fire_one(self, f: Fire) -> str:
        if f.instant_ms > self.now + 1000:
            return "future"
        if f.schedule not in self.schedules:
            return "gone"
        if f"schedule/{f.schedule}" in self.paused:
            return "paused"
        _, fires, ranges, _ = self.fired.get(f.schedule, (0, 0, [], 0))
        if any(first <= f.instant_ms <= last for first, last in ranges):
            return "duplicate"
        answer = "missed"
        if f.make_run:
            answer = "overlap" if self.overlaps(f) else self.enter(f.submission, f.schedule, f.instant_ms)
        self.fired[f.schedule] = (f.next_ms, fires + f.make_run, self.with_instant(ranges, f.instant_ms, f.previous_ms), 0)
        if f.missed:
            self.tell("missed", f.schedule, reason=f.missed_reason)
        if answer == "overlap":
            self.tell("skipped", f.schedule, reason="overlap")
        return "duplicate" if answer == "conflict" else answer

    def overlaps(self, f: Fire) -> bool:
        active = self.active(f.schedule)
        if f.overlap != "replace":
            return len(active) >= {"skip": 1, "queue_one": 2}.get(f.overlap, f.max_instances)
        self.settle_down()
        for run in active:
            self.cancel(run.id, "overlap")
        return False

    # ── What Redis must hold ──────────────────────────────────────────────────────────────────────────────────────────

    def keys(self) -> dict[str, Any]:
        """Every key but the stream; an empty one does not exist."""
        keys: dict[str, Any] = {}
        for run in self.runs.values():
            self.add_run(keys, run)
        for lane, shut in self.shut.items():
            why = f"{shut.reason} {shut.until_ms} {shut.cause}".rstrip()
            keys.setdefault("closed", {})[lane] = shut.look_ms
            keys.setdefault("why", {})[lane] = why
            if shut.cause:
                keys.setdefault(f"shut:{shut.cause}", set()).add(lane)
        for queue in self.orders:
            keys[f"q:{queue}"] = {lane: score for score, lane in self.open_lanes(queue)}
        for name, member in self.members.items():
            said = {"nonce": member.nonce, "answers": " ".join(member.answers), "claimed": " ".join(member.claimed)}
            keys[f"w:{name}"] = member.facts | (said if member.spoken else {})
            keys[f"knows:{name}"] = member.knows
        keys |= {f"wake:{worker}": calls for worker, calls in self.wakes.items()}
        keys |= {f"task:{task}": facts for task in {*self.policies, *self.paused_tasks()} if (facts := self.task_facts(task))}
        keys |= {f"rate:{task}:{calls}/{window}": arrival for (task, calls, window), arrival in self.arrivals.items()}
        keys |= {f"idem:{key}": f"{run} {body}" for key, (run, body) in self.idempotent.items()}
        meta = {"keep": self.keep, "generation": self.generation or None, "epoch": self.epoch or None}
        keys["meta"] = {name: str(value) for name, value in meta.items() if value is not None}
        keys["schedules"] = {name: json.dumps(schedule.to_dict()) for name, schedule in self.schedules.items()}
        keys["tasks"] = self.added
        keys["fired"] = {name: _fired(*facts) for name, facts in self.fired.items()}
        keys |= {"queues": self.orders, "paused": self.paused, "leases": self.leases, "fenced": self.fenced, "gone": self.gone}
        keys |= {"idle": self.idle, "lead": self.lead}
        return {name: value for name, value in keys.items() if value or value == 0}

    def paused_tasks(self) -> list[str]:
        return [name.removeprefix("task/") for name in self.paused if name.startswith("task/")]

    def task_facts(self, task: str) -> dict[str, str]:
        policy = self.policies.get(task) or Task(name=task, target="")
        rates = ",".join(f"{limit.max_calls}/{limit.window_ms}" for limit in policy.rate_limits)
        slot = "" if policy.slot == "default" else policy.slot
        facts = {
            "limit": str(policy.max_instances or ""),
            "rates": rates,
            "slot": slot,
            "paused": "1" if task in self.paused_tasks() else "",
        }
        return {name: value for name, value in facts.items() if value}

    def add_run(self, keys: dict[str, Any], run: Known) -> None:
        keys[f"r:{run.id}"] = run.record()
        if run.log is not None:
            keys[f"log:{run.id}"] = run.log
        if run.state == "pending":
            keys.setdefault(f"lane:{run.lane}", {})[run.id] = run.score
        elif run.state == "delayed":
            keys.setdefault("delayed", {})[run.id] = run.due
        elif run.state == "running":
            keys.setdefault(f"own:{run.worker}", set()).add(run.id)
            if run.busy:
                keys.setdefault(f"busy:{run.busy}", set()).add(run.id)
            if run.cancel is not None:
                keys.setdefault(f"cancels:{run.worker}", set()).add(run.id)
            for card, need in run.cards.items():
                keys.setdefault(f"gpu:{card}", {})[run.id] = str(need)
        else:
            keys.setdefault("dead" if run.state == "dead" else "done", {})[run.id] = run.ended
        if run.schedule and run.ended is None:
            keys.setdefault(f"active:{run.schedule}", set()).add(run.id)


def _fired(next_ms: int, fires: int, ranges: list[list[int]], untold: int) -> str:
    line = f"{next_ms};{fires};" + ",".join(f"{first}-{last}" for first, last in ranges)
    return f"{line};{untold}" if untold else line
