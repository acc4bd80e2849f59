"""Signs of life in the store: who leads, and when each worker was last seen looking for work."""

from collections.abc import Sequence
from typing import NamedTuple

from scheduler.queue.records import number
from scheduler.queue.runqueue import RunQueue


class Leading(NamedTuple):
    """Who led last; with ``lease_ms`` left of the lease (0 or less: nobody leads)."""

    instance: str = ""
    epoch: int = 0
    lease_ms: int = 0


class Seen(NamedTuple):
    """One worker: what is left of its lease, how long ago it last looked for work in vain (None: it is not waiting), Runs it holds."""

    lease_ms: int
    idle_ms: int | None
    runs: int


def read_signs(queue: RunQueue, workers: Sequence[str], now_ms: int) -> tuple[Leading, dict[str, Seen]]:
    """In one round trip; ``now_ms`` is the store's clock."""
    p = queue.prefix
    pipe = queue.client.pipeline(transaction=False)
    pipe.hmget(f"{p}lead", ["id", "epoch", "until"])
    for worker in workers:
        pipe.zscore(f"{p}leases", worker)
        pipe.zscore(f"{p}idle", worker)
        pipe.scard(f"{p}own:{worker}")
    (instance, epoch, until), *facts = pipe.execute()
    leading = Leading(instance or "", number(epoch), number(until, now_ms) - now_ms)
    rows = zip(workers, facts[::3], facts[1::3], facts[2::3], strict=True)
    return leading, {
        worker: Seen(int(lease or now_ms) - now_ms, None if idle is None else now_ms - int(idle), int(runs))
        for worker, lease, idle, runs in rows
    }
