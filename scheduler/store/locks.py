"""A file lock (flock): it belongs to an open file, ends with the last process that has it open, and never goes stale."""

import fcntl
import os
from pathlib import Path


class FileLock:
    """The lock of one file. Two of them exclude each other like two processes, unless both take a share."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pid = 0
        self.fd = -1  # of the open file while it is held; a child that inherits it holds the lock too

    @property
    def held(self) -> bool:
        return self.fd >= 0

    def take(self, *, shared: bool = False) -> bool:
        """Take all of it, or a share, without waiting; false when another has what we want."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(fd)
            if isinstance(exc, BlockingIOError):
                return False
            raise
        self.fd, self._pid = fd, os.getpid()
        return True

    def try_last(self) -> bool:
        """Give our share up; true when nobody else has one, and then nobody can take one before ``release``.

        Of two that leave at once at least one is told true: each gives its own share up before it looks for others.
        """
        if self._pid != os.getpid():
            return False  # a fork shares its parent's open file: letting go of it would let go of the parent's share
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        if self.held:
            os.close(self.fd)
            self.fd = -1
