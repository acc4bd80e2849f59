"""The queue in numbers: depth and oldest wait per queue, closed lanes with their reasons, workers, totals."""

from dataclasses import asdict, dataclass
from typing import Any

from scheduler.queue.records import number
from scheduler.queue.runqueue import RunQueue


@dataclass(frozen=True, slots=True)
class ClosedLane:
    """Runs that wait behind a closed gate, why, and until when it is looked at again (store's ms)."""

    lane: str
    reason: str
    until_ms: int
    depth: int


@dataclass(frozen=True, slots=True)
class QueueStats:
    """One queue. ``oldest_wait_ms`` is that of the oldest head of its lanes."""

    depth: int
    oldest_wait_ms: int
    paused: bool
    order: str


@dataclass(frozen=True, slots=True)
class Stats:
    """All numbers of one instant; ``workers``: id → Runs it holds."""

    now_ms: int
    queues: dict[str, QueueStats]
    closed: list[ClosedLane]
    workers: dict[str, int]
    running: int
    delayed: int
    finished: int
    dead: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_stats(queue: RunQueue, most: int = 500) -> Stats:
    """Numbers now, from at most ``most`` lanes a queue."""
    now, delayed, done, dead, queues, closed, workers = queue.functions.call("stats", most)
    heads: dict[str, list[str]] = {}
    depths: dict[str, int] = {}
    facts = {name: (bool(paused), order, lanes) for name, paused, order, lanes in _rows(queues, 4)}
    for name, (_, _, lanes) in facts.items():
        for _, depth, head in _rows(lanes, 3):
            depths[name] = depths.get(name, 0) + depth
            heads.setdefault(name, []).append(head)
    shut = []
    for lane, why, depth, head in _rows(closed, 4):
        name = lane.partition("/")[0]
        depths[name] = depths.get(name, 0) + depth
        heads.setdefault(name, []).append(head)
        reason, _, rest = why.partition(" ")
        shut.append(ClosedLane(lane, reason, number(rest.partition(" ")[0]), depth))
    held = {worker: running for worker, _, running in _rows(workers, 3)}
    oldest = {name: _oldest_wait_ms(queue, runs, int(now)) for name, runs in heads.items()}
    listed = {name: QueueStats(depths.get(name, 0), oldest.get(name, 0), paused, order) for name, (paused, order, _) in facts.items()}
    return Stats(int(now), listed, shut, held, sum(held.values()), int(delayed), int(done), int(dead))


def _oldest_wait_ms(queue: RunQueue, runs: list[str], now_ms: int) -> int:
    pipe = queue.client.pipeline(transaction=False)
    for run in runs:
        if run:
            pipe.hget(f"{queue.prefix}r:{run}", "created")
    created = [number(ms, now_ms) for ms in pipe.execute() if ms]
    return max(0, now_ms - min(created)) if created else 0


def _rows(flat: list[Any], width: int) -> list[tuple[Any, ...]]:
    return [tuple(flat[i : i + width]) for i in range(0, len(flat), width)]
