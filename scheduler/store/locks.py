"""Advisory file locks (flock): they belong to an open file, end with the last process that has it open, and never go stale."""

import errno
import fcntl
import os
from pathlib import Path

from scheduler.core.errors import StoreError

_UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


def open_lock(path: Path) -> int:
    """A new open file to lock; two of them in one process exclude each other like two processes."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def try_lock(fd: int, *, shared: bool = False) -> bool:
    """Take the lock without waiting; false when another open file holds it."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:
        if exc.errno in _UNSUPPORTED:
            raise StoreError(f"the file system of redis.data_dir has no file locks ({exc.strerror}). Cure: use a local disk") from exc
        raise
    return True


def unlock(fd: int) -> None:
    """Give the lock up for every process that shares this open file."""
    fcntl.flock(fd, fcntl.LOCK_UN)


class UserLock:
    """Says "this process uses the store of this data directory", and finds out who is the last to leave."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._pid = 0

    @property
    def held(self) -> bool:
        return self._fd >= 0

    def try_enter(self) -> bool:
        """Become a user; false while the last user before us is shutting the server down."""
        fd = open_lock(self._path)
        try:
            entered = try_lock(fd, shared=True)
        except BaseException:
            os.close(fd)
            raise
        if entered:
            self._fd, self._pid = fd, os.getpid()
        else:
            os.close(fd)
        return entered

    def try_last(self) -> bool:
        """Stop being a user; true when nobody else is, and then nobody can become one before ``close``.

        Of two users that leave at once at least one is told true: each gives its own share up before it looks for others.
        """
        if self._pid != os.getpid():
            return False  # a fork shares its parent's open file: letting go of it would let go of the parent's share
        unlock(self._fd)
        return try_lock(self._fd)

    def close(self) -> None:
        if self.held:
            os.close(self._fd)
            self._fd = -1
