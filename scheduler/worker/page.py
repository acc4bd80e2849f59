"""The page that a worker process and its supervisor share: a heartbeat that needs no lock, no pipe and no Redis."""

import mmap
import os
import struct
import tempfile

_LAYOUT = struct.Struct("dd")  # by the worker: monotonic time of its last tick, nearest deadline of a Run in a thread
_ONE = struct.Struct("d")
_TRUST_AT = _LAYOUT.size  # by the supervisor: until when the worker may believe in its lease


class Page:
    """24 bytes of shared memory; monotonic seconds are the same in all processes of one machine."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, mmap.PAGESIZE)

    @classmethod
    def create(cls) -> "Page":
        """A new page in a file without a name."""
        with tempfile.TemporaryFile() as file:
            os.ftruncate(file.fileno(), mmap.PAGESIZE)
            return cls(os.dup(file.fileno()))

    def write(self, tick: float, deadline: float) -> None:
        _LAYOUT.pack_into(self._memory, 0, tick, deadline)

    def write_deadline(self, deadline: float) -> None:
        """Between two ticks: a Run that blocks the whole interpreter from its first step on would let no tick tell of it."""
        _ONE.pack_into(self._memory, _LAYOUT.size - _ONE.size, deadline)

    def write_trust(self, until: float) -> None:
        _ONE.pack_into(self._memory, _TRUST_AT, until)

    def trusted_until(self) -> float:
        """0 as long as the supervisor has not heard of it."""
        return float(_ONE.unpack_from(self._memory, _TRUST_AT)[0])

    def read(self) -> tuple[float, float]:
        tick, deadline = _LAYOUT.unpack_from(self._memory, 0)
        return tick, deadline

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)
