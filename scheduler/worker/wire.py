"""JSON lines: how runner, fork server and slot children talk over their sockets, and how an Outcome travels."""

import json
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from scheduler.core.outcome import Error, Kind, Outcome

LINE_LIMIT = 64 * 1024 * 1024  # bytes; a peer that sends more without an end of line is broken

_encode = json.JSONEncoder(separators=(",", ":"), default=dict).encode  # dict: parameters may be any Mapping


def pack(message: Any) -> bytes:
    """``message`` as one line; TypeError or ValueError when it is no JSON."""
    return _encode(message).encode() + b"\n"


class LineBuffer:
    """Collects what arrives in pieces and gives it back as messages."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> list[Any]:
        """The messages that ``data`` completes; ValueError when the peer does not speak JSON lines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self._limit:
            raise ValueError(f"a line of more than {self._limit} bytes")
        return [json.loads(line) for line in lines]


def outcome_fields(outcome: Outcome) -> Sequence[Any]:
    error = astuple(outcome.error) if outcome.error else None
    return outcome.kind, outcome.result, error, outcome.reason, outcome.retry_after_ms, outcome.duration_ms


def outcome_of_fields(fields: Sequence[Any]) -> Outcome:
    """ValueError for fields that no child of ours sends."""
    match fields:
        case [str(kind), str(result), None | [str(), str(), str(), [*_]] as error, str(reason), int(delay_ms), int() | float() as took_ms]:
            known = Error(error[0], error[1], error[2], tuple(error[3])) if error else None
            return Outcome(Kind(kind), result, known, reason, delay_ms, took_ms)
    raise ValueError("an unknown end")
