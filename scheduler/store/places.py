"""Where the embedded server keeps its things: one private directory, and a socket whose path is short enough for the kernel."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from scheduler.core.errors import StoreError

MAX_SOCKET_PATH = 103  # bytes; macOS ends at 103, Linux at 107


class Places:
    """The paths of one data directory; nothing is created before ``prepare``."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.store = self.data_dir / "store"
        self.config = self.store / "valkey.conf"
        self.pid_file = self.store / "valkey.pid"
        self.log = self.data_dir / "valkey.log"
        self.server_lock = self.data_dir / "server.lock"
        self.users_lock = self.data_dir / "users.lock"

    def prepare(self) -> None:
        """Create what is missing; the directory of the data and the socket is for this user alone."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.store.mkdir(mode=0o700, exist_ok=True)
        _check_own(self.store)
        self.store.chmod(0o700)  # restored backups and volume managers open the rights up

    def socket(self) -> Path:
        """The socket for a new server. A long path is replaced by one in a private directory that only this data directory has."""
        near = self.store / "store.sock"
        if _fits(near):
            return near
        status = self.data_dir.stat()
        key = hashlib.sha256(os.fsencode(f"{self.data_dir}:{status.st_dev}:{status.st_ino}")).hexdigest()
        bases = map(Path, (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"))  # noqa: S108 - it is checked below
        usable = (base / f"scheduler-{key[:16]}" / near.name for base in bases if base.is_absolute() and os.access(base, os.W_OK))
        socket = next(filter(_fits, usable))
        socket.parent.mkdir(mode=0o700, exist_ok=True)
        if _check_own(socket.parent) & 0o077:
            raise StoreError(f"{socket.parent} is open to other users; the store's socket must not be. Cure: chmod 700 {socket.parent}")
        return socket


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= MAX_SOCKET_PATH


def _check_own(path: Path) -> int:
    """The mode of a directory that must be real and ours."""
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise StoreError(f"{path} is not a directory but the store needs it to be one. Cure: move it away")
    if status.st_uid != os.geteuid():
        cure = "run as that user, give it to this one with chown -R, or choose another redis.data_dir"
        raise StoreError(f"{path} belongs to user {status.st_uid}, this process is user {os.geteuid()}. Cure: {cure}")
    return status.st_mode
