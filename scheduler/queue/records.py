"""Between Redis and Python: a Run's hash, a turn's arguments and answers, a schedule's fired state."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.core.ports import FiredState
from scheduler.core.run import Claim, Fire, Run, Settlement, Submission
from scheduler.core.states import State

_STATES = frozenset(State)
_BREAKS = str.maketrans("\n\t", "  ")
_FIRED = re.compile(r"(\d+);(\d+);(\d+-\d+(?:,\d+-\d+)*)(?:;(\d+))?")


def run_from_hash(run_id: str, h: Mapping[str, str]) -> Run | None:
    """A Run from the fields of ``r:<id>``; what is absent or garbage has its default. None for a record that is none of ours."""
    if "task" not in h or h.get("state") not in _STATES:
        return None
    claims = number(h.get("token"))
    return Run(
        id=run_id,
        task=h["task"],
        state=State(h["state"]),
        reason=h.get("reason", ""),
        queue=h.get("queue", "default"),
        priority=number(h.get("prio"), 5),
        params=_mapping(_json(h, "params")),
        attempt=claims - number(h.get("spared")),
        claims=claims,
        losses=number(h.get("losses")),
        crashes=number(h.get("crashes")),
        created_ms=number(h.get("created")),
        due_ms=number(h.get("due")),
        started_ms=number(h.get("started")),
        ended_ms=number(h.get("ended")),
        scheduled_ms=number(h.get("at")) or None,
        schedule=h.get("sched", ""),
        key=h.get("key", ""),
        worker=h.get("worker", ""),
        result=_json(h, "result"),
        error=_json(h, "error"),
        progress=number(h.get("prog")),
        progress_message=h.get("note", ""),
    )


def number(text: str | None, otherwise: int = 0) -> int:
    """What a field holds; where it is not there, or garbage, ``otherwise``."""
    try:
        return otherwise if text is None else int(float(text))
    except (ValueError, OverflowError):
        return otherwise


def _json(h: Mapping[str, str], name: str) -> Any:
    try:
        return json.loads(h.get(name) or "null")
    except (ValueError, RecursionError):
        return None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def one_line(text: str) -> str:
    """Without line breaks and tabs, which would break an event's line; in JSON they are only ever layout. And fit to be sent at all."""
    if not text.isascii():
        text = text.encode(errors="replace").decode()
    return text.translate(_BREAKS) if "\n" in text or "\t" in text else text


def submission_args(s: Submission) -> tuple[Any, ...]:
    if s.idempotency and len(s.idempotency.split()) != 2:
        raise ValueError(f"idempotency {s.idempotency!r} of Run {s.id}: two words, the key's digest and the body's")
    return (s.id, s.task, s.queue, s.priority, one_line(s.params), s.delay_ms, s.due_ms, s.key, s.idempotency)


def settlement_args(s: Settlement) -> tuple[Any, ...]:
    burn = 1 if s.burn else 0
    return (
        s.id,
        s.token,
        s.state.value,
        one_line(s.reason),
        s.delay_ms,
        burn,
        s.strike,
        one_line(s.result),
        one_line(s.error),
        round(s.duration_ms, 3),
        s.close_lane_ms,
    )


def fire_args(f: Fire) -> tuple[Any, ...]:
    s = f.submission
    head = (f.schedule, f.instant_ms, f.previous_ms, f.next_ms, f.overlap, f.max_instances, f.missed, f.missed_reason, int(f.make_run))
    return (*head, s.id, s.task, s.queue, s.priority, s.params, s.delay_ms, s.key)


def claim_from_reply(row: Sequence[Any]) -> Claim:
    run, token, attempt, task, params, losses, crashes, at = row[:8]
    return Claim(run, int(token), int(attempt), task, params, int(losses), int(crashes), int(at) if at else None)


def fired_state(text: str | None, now_ms: int) -> FiredState:
    """``next;fires;first-last,…[;untold]`` as seen at ``now_ms``. Ranges that begin later were fired before the clock stepped back."""
    match = _FIRED.fullmatch(text or "")
    if not match:
        return FiredState(0, 0)
    next_ms, fires, ranges, untold = match.groups()
    pairs = [(int(first), int(last)) for first, last in (pair.split("-") for pair in ranges.split(","))]
    last_ms = max((last for first, last in pairs if first <= now_ms), default=0)
    return FiredState(last_ms, int(next_ms), int(fires), pairs[0][0], int(untold or 0))
