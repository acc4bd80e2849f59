"""What an attempt came to, before anybody decides what that means for the Run."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The ways in which an attempt ends."""

    OK = "ok"
    ERROR = "error"  # run() raised
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    CRASHED = "crashed"  # its own process died
    OOM = "oom"
    LOST = "lost"  # its worker died or was fenced
    HANDED_BACK = "handed_back"  # the worker stops; the Run goes back untouched
    GATED = "gated"  # a gate was closed: it never started
    REFUSED = "refused"  # the plugin is broken, or unknown to this worker


@dataclass(frozen=True, slots=True)
class Error:
    """An exception as text: it crosses processes, so never the object. ``bases`` are the class names of its MRO, own first."""

    type: str
    message: str
    traceback: str = ""
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt's end. ``result`` is JSON text; ``reason`` says which gate, cancel or hand-back; ``retry_after_ms`` belongs to GATED."""

    kind: Kind
    result: str = ""
    error: Error | None = None
    reason: str = ""
    retry_after_ms: int = 0
    duration_ms: float = 0.0


OK = Outcome(Kind.OK)
