"""JSON lines: how runner, fork server and slot children talk over their sockets."""

import json
from typing import Any

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
