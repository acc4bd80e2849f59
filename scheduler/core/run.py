"""A Run as others see it, and what it takes to submit, claim and settle one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from scheduler.core.states import TERMINAL, State

Strike = Literal["", "loss", "crash"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A snapshot of one Run. Times are milliseconds since 1970 UTC by the store's clock; 0 or None where not yet reached."""

    id: str
    task: str
    state: State
    reason: str = ""
    queue: str = "default"
    priority: int = 5
    params: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 0  # attempts that count: a hand-back or a closed gate does not
    claims: int = 0  # how often a worker took it; also the fencing token of the last claim
    losses: int = 0  # how often its worker died
    crashes: int = 0  # how often it killed its own process
    created_ms: int = 0
    due_ms: int = 0
    started_ms: int = 0
    ended_ms: int = 0
    scheduled_ms: int | None = None  # the nominal instant of its fire
    schedule: str = ""
    key: str = ""  # concurrency key
    worker: str = ""
    result: Any = None
    error: Mapping[str, Any] | None = None  # {"type", "message", "traceback"}
    progress: int = 0
    progress_message: str = ""
    version: str = ""

    @property
    def ended(self) -> bool:
        """Whether the state is terminal."""
        return self.state in TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request for one Run. ``params`` is JSON text ('' for none); ``key``: rendered concurrency key; ``idempotency``: the caller's."""

    id: str
    task: str
    queue: str = "default"
    priority: int = 5
    params: str = ""
    delay_ms: int = 0
    due_ms: int = 0
    key: str = ""
    idempotency: str = ""


@dataclass(frozen=True, slots=True)
class Fire:
    """One due instant of a schedule on its way to becoming a Run.

    ``previous_ms`` is the nominal instant before it (0: none), ``next_ms`` the one after (0: never again). ``missed`` counts
    the instants since ``previous_ms`` that get no Run, for the reason ``missed_reason``. ``make_run`` false records only the misses.
    """

    schedule: str
    instant_ms: int
    previous_ms: int
    next_ms: int
    submission: Submission
    overlap: str
    max_instances: int
    missed: int = 0
    missed_reason: str = ""
    make_run: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """A Run in the hands of a worker: every later word about it carries the token."""

    id: str
    token: int
    attempt: int
    task: str
    params: str
    losses: int
    crashes: int
    scheduled_ms: int | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of a claimed Run: the decision, and what to keep of the attempt."""

    id: str
    token: int
    state: State
    reason: str = ""
    delay_ms: int = 0
    burn: bool = True  # whether the attempt counts
    strike: Strike = ""
    result: str = ""  # JSON text
    error: str = ""  # JSON text
    duration_ms: float = 0.0
    close_lane_ms: int = 0  # a closed gate: nothing of this lane before this many ms have passed
