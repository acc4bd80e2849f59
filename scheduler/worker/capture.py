"""How attempts end, as plain text: the one place where a result, an exception or a death becomes an Outcome."""

import json
import signal
import traceback
from pathlib import Path
from types import TracebackType

from scheduler.core.errors import GateClosedError, PluginError
from scheduler.core.outcome import OK, Error, Kind, Outcome
from scheduler.core.states import Reason

RESULT_LIMIT = 256 * 1024  # bytes of UTF-8 JSON
MESSAGE_LIMIT = 4 * 1024
TRACEBACK_LIMIT = 32 * 1024
REASON_LIMIT = 200
GATE_MS = 1_000  # where a gate does not say for how long it is closed
LEAST_GATE_MS = 20  # a gate that is asked again at once, again and again, would keep the store from all else

_JSON = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))
_OUR_FOLDER = str(Path(__file__).parent)
_OUT_OF_MEMORY = Outcome(Kind.ERROR, error=Error("MemoryError", "out of memory", bases=("MemoryError", "Exception", "BaseException")))


def holds_against(why: Outcome, outcome: Outcome, *, noticed: bool) -> bool:
    """Whether an attempt that was told to stop (``why``) ended as it says: it succeeded, in time, and never looked whether to stop."""
    return outcome.kind is Kind.OK and not noticed and why.kind is not Kind.TIMED_OUT


def outcome_of_result(value: object) -> Outcome:
    """What ``run()`` returned. A value that is no JSON or over ``RESULT_LIMIT`` leaves the Run succeeded, without result, and says why."""
    if value is None:
        return OK
    try:
        return Outcome(Kind.OK, result=_encode(value))
    except BaseException as error:  # the value's own methods may raise anything
        message = f"run() returned a {_name(value)} that cannot be kept: {_message(error)}"
        return _outcome(Kind.OK, "ResultError", _cut(message, MESSAGE_LIMIT))


def outcome_of_exception(error: BaseException) -> Outcome:
    """What ``run()`` raised, as bounded text. A closed gate is GATED, a plugin that cannot be loaded is REFUSED."""
    if isinstance(error, GateClosedError):
        return gated(error)
    try:
        kind = Kind.REFUSED if isinstance(error, PluginError) else Kind.ERROR
        bases = tuple(base.__name__ for base in type(error).__mro__[:-1])
        return Outcome(kind, error=Error(_name(error), _message(error), _traceback(error), bases))
    except MemoryError:
        return _OUT_OF_MEMORY


def gated(gate: GateClosedError) -> Outcome:
    """A gate was closed; a user's own may give anything as reason and time."""
    try:
        return Outcome(Kind.GATED, reason=_cut(str(gate.reason), REASON_LIMIT), retry_after_ms=max(LEAST_GATE_MS, int(gate.retry_after_ms)))
    except Exception:
        return Outcome(Kind.GATED, reason=Reason.NOT_READY, retry_after_ms=GATE_MS)


def outcome_of_death(exit_code: int, peak_bytes: int) -> Outcome:
    """A process that ended without a word; ``exit_code`` is negative for a signal, as in subprocess."""
    peak = f"peak RSS {format_bytes(peak_bytes)}"
    if exit_code >= 0:
        return crashed(f"exited with code {exit_code} ({peak})")
    name = signal_name(-exit_code)
    return crashed(f"killed by {name} ({'likely out of memory; ' if name == 'SIGKILL' else ''}{peak})")


def signal_name(number: int) -> str:
    """``SIGKILL``; ``signal 40`` for one that has no name."""
    return next((known.name for known in signal.Signals if known == number), f"signal {number}")


def crashed(how: str) -> Outcome:
    """The outcome of an attempt whose own process failed it."""
    return _outcome(Kind.CRASHED, "Crashed", how)


def refused(error: Exception) -> Outcome:
    """The outcome of an attempt that could not start for what the Run itself is."""
    return Outcome(Kind.REFUSED, error=Error(_name(error), _message(error)))


def lost(why: str) -> Outcome:
    """The outcome of an attempt whose process was lost through no fault of its own."""
    return _outcome(Kind.LOST, "ProcessLost", why)


def timed_out(task: str, timeout_ms: int | None) -> Outcome:
    """The outcome of an attempt that ran past its deadline; ``retry_on: [TimeoutError]`` matches it."""
    return _outcome(Kind.TIMED_OUT, "TimeoutError", f"任务 {task} 执行超时 ({(timeout_ms or 0) / 1000:g}秒)", "OSError")


def over_memory(used: int, limit: int) -> Outcome:
    """The outcome of an attempt whose process tree outgrew ``memory_limit`` (bytes); ``retry_on: [MemoryError]`` matches it."""
    return _outcome(Kind.OOM, "MemoryError", f"memory {format_bytes(used)} > {format_bytes(limit)} limit")


def _outcome(kind: Kind, error: str, message: str, *bases: str) -> Outcome:
    return Outcome(kind, error=Error(error, message, bases=(error, *bases, "Exception")))


def format_bytes(count: int) -> str:
    """``9_878_424_781`` → ``"9.2 GiB"``; whole numbers lose the ``.0``."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 1 << power:
            return f"{count / (1 << power):.1f} {unit}".replace(".0 ", " ")
    return f"{count} B"


def _encode(value: object) -> str:
    """JSON text, measured while it is written, so that 300 MB of list cost no 300 MB of text."""
    parts, size = [], 0
    for part in _JSON.iterencode(value):
        size += len(part)
        if size > RESULT_LIMIT:
            break
        parts.append(part)
    text = "".join(parts)
    if size > RESULT_LIMIT or len(text.encode()) > RESULT_LIMIT:  # encode() also refuses lone surrogates
        raise ValueError(f"it is larger than {format_bytes(RESULT_LIMIT)} of JSON")
    return text


def _name(value: object) -> str:
    return _cut(type(value).__name__, 200)


def _message(error: BaseException) -> str:
    try:
        text = f"task called exit({error.code!r})" if isinstance(error, SystemExit) else str(error)
    except BaseException as broken:  # a __str__ or __repr__ of the user's
        text = f"<the message cannot be shown: {type(broken).__name__}>"
    return _cut(text, MESSAGE_LIMIT)


def _traceback(error: BaseException) -> str:
    """The user's frames, from the call of ``run()`` on; '' when even that cannot be written."""
    try:
        formatted = traceback.TracebackException(type(error), error, _users_part(error.__traceback__), compact=True)
        return _cut_middle("".join(formatted.format()), TRACEBACK_LIMIT)
    except BaseException:  # out of stack or memory, or a hostile __cause__: the message must do
        return ""


def _users_part(frames: TracebackType | None) -> TracebackType | None:
    while frames and frames.tb_frame.f_code.co_filename.startswith(_OUR_FOLDER):
        frames = frames.tb_next
    return frames


def _cut(text: str, limit: int) -> str:
    """At most ``limit`` bytes of valid UTF-8."""
    data = text[:limit].encode(errors="backslashreplace")
    if len(text) <= limit and len(data) <= limit:
        return data.decode()
    return data[: limit - 3].decode(errors="ignore") + "…"


def _cut_middle(text: str, limit: int) -> str:
    """The ends of a long traceback say most: where it began and what was raised."""
    data = text.encode(errors="backslashreplace")
    if len(data) <= limit:
        return data.decode()
    half = limit // 2 - 20
    return (data[:half] + "\n… cut …\n".encode() + data[-half:]).decode(errors="ignore")
