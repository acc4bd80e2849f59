"""Run ids: short, url-safe, and increasing in time, so that ties in a lane are broken by age."""

import os
import re
from datetime import UTC, datetime

from scheduler.core.clock import now_ms

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,63}")
_FIRE = re.compile(r".+@(\d{8}T\d{6})(?:\.(\d{3}))?Z")
RUN_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:+-]{0,127}")


def base32(number: int, width: int) -> str:
    """``number`` in Crockford's alphabet, most significant first, padded to ``width``."""
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 32)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


class IdFactory:
    """Ids of 20 characters: 9 of milliseconds, 3 of a counter, 8 random for the process. Strictly increasing per process."""

    def __init__(self) -> None:
        self._pid = 0
        self._suffix = ""
        self._last = 0

    def __call__(self) -> str:
        if self._pid != os.getpid():  # a forked child must not repeat its parent's suffix
            self._pid = os.getpid()
            self._suffix = base32(int.from_bytes(os.urandom(5)), 8)
        self._last = max(self._last + 1, now_ms() << 15)
        return base32(self._last, 12) + self._suffix


new_id = IdFactory()


def fire_id(schedule: str, instant_ms: int) -> str:
    """The id of the Run of one fire; the same on every instance and for ever: ``daily_report@20261225T010000Z``."""
    second, ms = divmod(instant_ms, 1000)
    stamp = datetime.fromtimestamp(second, UTC).strftime("%Y%m%dT%H%M%S")
    return f"{schedule}@{stamp}.{ms:03d}Z" if ms else f"{schedule}@{stamp}Z"


def fire_instant(run_id: str) -> int | None:
    """The nominal instant (ms) in the id of a fire's Run, the inverse of ``fire_id``; None for other ids."""
    match = _FIRE.fullmatch(run_id)
    if not match:
        return None
    try:
        second = datetime.fromisoformat(match[1] + "+00:00")
    except ValueError:  # somebody's own id that only looks like ours
        return None
    return int(second.timestamp()) * 1000 + int(match[2] or 0)
