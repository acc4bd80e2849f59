"""The small protocols through which the siblings below the centre meet; the centre wires them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from scheduler.core.outcome import Outcome
from scheduler.core.run import Claim, Fire, Run, Settlement
from scheduler.core.task import GpuNeed, Schedule


class Trigger(Protocol):
    """When a schedule fires. Pure: the answer depends on ``after_ms`` alone."""

    def next(self, after_ms: int) -> int | None:
        """The first instant strictly after ``after_ms`` (both UTC epoch milliseconds), or None: never again."""


class Leadership(NamedTuple):
    """The answer to an election: ``epoch`` > 0 says that we lead, until ``lease_ms`` from the moment the question was sent."""

    epoch: int
    lease_ms: int
    now_ms: int  # the store's clock
    leader: str
    silent_ms: int = 0  # with a new epoch: how long ago the leader before us renewed its lease or resigned


class FiredState(NamedTuple):
    """What the store remembers of a schedule.

    Every instant up to ``last_ms`` is settled: fired, missed, or before the schedule was known or resumed (0: the store knows
    nothing). ``next_ms`` is the instant the last fire said comes next (0: never, or nothing fired yet). ``fires`` counts them,
    ``since_ms`` is when the schedule became known. ``untold_ms`` > 0: what lies between it and ``last_ms`` passed while the schedule
    was paused, and is to be told.
    """

    last_ms: int
    next_ms: int
    fires: int = 0
    since_ms: int = 0
    untold_ms: int = 0


class ScheduleStore(Protocol):
    """Where schedules live between restarts, and the only door through which a fire becomes a Run."""

    def elect(self, instance: str, lease_ms: int) -> Leadership:
        """Take or renew the leadership; every error means: not leader."""

    def resign(self, instance: str) -> None:
        """Give the leadership up, so that a standby takes it at once."""

    def load_schedules(self) -> dict[str, tuple[Schedule, FiredState]]:
        """All schedules of the store, YAML's and the API's."""

    def get_schedule(self, name: str) -> Schedule | None:
        """One definition."""

    def save_schedules(self, schedules: Sequence[Schedule]) -> None:
        """Add or replace definitions; what they have fired is kept. What is new, or has another trigger, counts from now on."""

    def remove_schedules(self, names: Sequence[str]) -> None:
        """Forget definitions and what they have fired."""

    def paused_schedules(self) -> set[str]:
        """Names of the schedules that do not fire at present."""

    def pause_schedule(self, name: str, *, on: bool = True) -> bool:
        """Pause or resume; a resumed schedule counts from now on. False when it was so already."""

    def generation(self) -> int:
        """A number that changes whenever any definition or pause changes."""

    def fire(self, epoch: int, fires: Sequence[Fire]) -> list[str]:
        """One atomic step for the whole batch; an answer each.

        ``ok``, ``duplicate``, ``overlap``, ``missed`` (it was to make no Run), ``paused`` and ``gone`` (removed) settle the instant;
        ``future`` does not; ``stale``, for all of them: the epoch has passed.
        """

    def now_ms(self) -> int:
        """The store's clock: the only one that says what is due."""


class Inventory(Protocol):
    """The GPUs of this host, measured. An empty list means: no card, or no driver."""

    def cards(self) -> "list[Card]": ...


class Card(NamedTuple):
    """One GPU or MIG instance. Memory in MiB; ``utilization`` in percent, None where the driver cannot tell (MIG).

    ``foreign`` are the processes on it that are not ours: (pid, MiB).
    """

    uuid: str
    number: int  # in PCI bus order
    name: str
    total_mb: int
    free_mb: int
    utilization: float | None
    foreign: tuple[tuple[int, int], ...] = ()


class GpuBroker(Protocol):
    """Reserves cards for one attempt."""

    def reserve(self, run_id: str, need: GpuNeed) -> list[str]:
        """UUIDs of the cards now held by this Run; raises GateClosedError (``gpu_busy``) when there are not enough."""

    def release(self, run_id: str) -> None:
        """Give the cards back; harmless when none are held."""


class Reservations(Protocol):
    """What Runs hold of the GPUs, atomically, across all instances."""

    def reserve_gpu(self, run_id: str, capacity_mb: Mapping[str, int], need_mb: int, count: int) -> list[str]:
        """Reserve ``need_mb`` on ``count`` of the cards (uuid → MiB that may be reserved in total, best first); [] when they do not fit.

        The same Run asking again gets what it already holds.
        """

    def release_gpu(self, run_id: str) -> None: ...


class Enrolment(NamedTuple):
    """What the queue must know of a worker; ``queues`` ``["*"]`` serves all. Ids are never used twice."""

    id: str
    host: str
    pid: int
    slots: int
    queues: Sequence[str]
    tasks: Sequence[str]


class Free(NamedTuple):
    """Free slots of each kind: how many more Runs a worker can take."""

    default: int = 0
    processpool: int = 0
    asyncio: int = 0


class Turn(NamedTuple):
    """What a worker's turn came to. ``answers`` stand beside the settlements: ok, done, fenced or gone."""

    fenced: bool
    answers: list[str]
    claims: list[Claim]


class Orphan(NamedTuple):
    """A Run in the hands of a dead worker, and since when."""

    claim: Claim
    started_ms: int


class Sweep(NamedTuple):
    """What a sweep saw: the server's clock, ms to the next due Run (-1: none), fenced workers still holding Runs, Runs moved."""

    now_ms: int
    next_due_ms: int
    fenced: list[str]
    moved: int


class WorkerQueue(Protocol):
    """The queue as a worker and a rescuer see it."""

    def turn(self, worker: str, nonce: str, free: Free, settlements: Sequence[Settlement] = ()) -> Turn: ...

    def settle(self, settlements: Sequence[Settlement]) -> list[str]: ...

    def cancels(self, worker: str) -> tuple[dict[str, str], list[str]]: ...

    def report(self, run_id: str, token: int, percent: int, message: str) -> bool: ...

    def get(self, run_id: str) -> Run | None: ...

    def save_log(self, run_id: str, tail: str, total: int) -> None: ...

    def abandon(self, worker: str) -> None: ...

    def orphans(self, worker: str, most: int = 100) -> list[Orphan]: ...

    def sweep(self, *, expected_ms: int | None, longest_lease_ms: int, thorough: bool = True) -> Sweep: ...

    def retain(self, *, keep: int, keep_ms: int, events: int) -> int: ...


class Wake(Protocol):
    """Where an idle worker waits: readable (select) when somebody has called it."""

    def fileno(self) -> int: ...

    def arm(self, timeout_s: int) -> None:
        """Be ready to be called; harmless when it is already."""

    def read(self) -> str | None:
        """What the call said, or None when the wait ran out; afterwards it must be armed again."""

    def close(self) -> None: ...


class Handle(Protocol):
    """An attempt that is going on in a slot."""

    def ask(self, why: Outcome) -> None:
        """Let its code know that it should stop, and do nothing else; ``why`` is its outcome if the code heeds that."""

    def stop(self, why: Outcome) -> None:
        """End it: soft signal, then TERM, then KILL of the whole process group where the slot can; ``why`` is then its outcome."""


class Job(NamedTuple):
    """One attempt as a slot sees it: plain data, ready for JSON. Times in ms; ``params`` is the merged keyword arguments."""

    run: str
    task: str
    target: str
    params: Mapping[str, Any]
    attempt: int
    token: int
    scheduled_ms: int | None
    timeout_ms: int | None
    memory_limit: int | None
    fresh: bool  # a new process for this attempt alone
    env: Mapping[str, str]
    log_runs: bool = False
    max_attempts: int = 1


class Resolver(Protocol):
    """Turns ``module:function`` (or ``module:Class`` of a BaseTask) into the callable that takes the params; raises PluginError."""

    def __call__(self, target: str) -> Callable[..., Any]: ...
