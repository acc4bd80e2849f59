"""The captured output of one Run: the newest part in memory, all of it in a file that cannot outgrow its cap."""

import logging
import os
import threading
from functools import cache
from pathlib import Path

RING_BYTES = 64 * 1024
CAP_BYTES = 10_000_000
_TRUNCATED = b"\n... truncated\n"


class RunLog:
    """Takes bytes from any thread. The file (0600, its folders 0700) appears with the first byte, so silent Runs cost nothing."""

    def __init__(self, path: Path, cap_bytes: int = CAP_BYTES) -> None:
        self.path = path
        self.total = 0  # bytes ever written here, those beyond the cap included
        self._cap = cap_bytes
        self._room = 0  # bytes the file may still take
        self._ring = bytearray()
        self._fd: int | None = None
        self._sealed = False  # nothing goes into the file any more
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Keep ``data``. A full disk costs the file, never the Run."""
        trouble = None
        with self._lock:
            self.total += len(data)
            self._ring += data[-RING_BYTES:]
            if len(self._ring) > 2 * RING_BYTES:  # trimmed now and then, not at each line
                del self._ring[:-RING_BYTES]
            if data and not self._sealed:
                try:
                    self._store(data)
                except OSError as error:
                    self._seal()
                    trouble = error.errno, error.strerror
        if trouble:
            _warn(self.path.parent, *trouble)  # without the lock: inside the Run, the warning is written to this very log

    def tail(self) -> bytes:
        """The newest 64 KB."""
        with self._lock:
            return bytes(self._ring[-RING_BYTES:])

    def close(self) -> None:
        """Close the file; what is written later stays in memory."""
        with self._lock:
            self._seal()

    def _store(self, data: bytes) -> None:
        if self._fd is None:
            _make_folder(self.path.parent)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            self._room = self._cap - os.fstat(self._fd).st_size  # an earlier attempt wrote here
        full = len(data) > self._room
        if full:
            data = data[: self._room] + _TRUNCATED if self._room >= 0 else b""
        self._room -= len(data)
        while data:
            data = data[os.write(self._fd, data) :]
        if full:
            self._seal()

    def _seal(self) -> None:
        self._sealed = True
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _make_folder(folder: Path) -> None:
    """``mkdir(parents=True)`` would give the parents the default mode."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


@cache  # once for each cause and folder, which is that of a day: every Run would say the same
def _warn(folder: Path, number: int | None, reason: str | None) -> None:
    logging.getLogger("scheduler.worker").warning(
        "the output of Runs cannot be written to %s, only the newest of it is kept: errno %s, %s", folder, number, reason
    )
