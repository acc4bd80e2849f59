"""The one server that all systems share in a run: a process of our own, over loopback TCP and a unix socket, without persistence."""

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

STATISTICS_DB = 15


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`with Server("tcp") as server`: `url` is where the systems work, `statistics` where the no-op reports."""

    def __init__(self, transport: str) -> None:
        self.transport, self.port = transport, free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="bench")
        self.socket = str(Path(self._folder.name) / "s")
        self.work = redis.Redis(unix_socket_path=self.socket, decode_responses=True)
        self.statistics = redis.Redis(unix_socket_path=self.socket, db=STATISTICS_DB, decode_responses=True)

    @property
    def url(self) -> str:
        return f"unix://{self.socket}" if self.transport == "unix" else f"redis://127.0.0.1:{self.port}/0"

    @property
    def statistics_url(self) -> str:
        return f"unix://{self.socket}?db={STATISTICS_DB}"

    def __enter__(self) -> Self:
        binary = shutil.which("redis-server")
        if not binary:
            raise SystemExit("redis-server is not installed")
        listen = ["--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.socket]
        volatile = ["--save", "", "--appendonly", "no", "--dir", self._folder.name, "--maxmemory-policy", "noeviction"]
        self._process = subprocess.Popen([binary, *listen, *volatile], stdout=subprocess.DEVNULL)
        self._await_answer()
        return self

    def _await_answer(self) -> None:
        for _ in range(500):
            try:
                self.work.ping()
            except (redis.ConnectionError, redis.BusyLoadingError):
                time.sleep(0.01)
            else:
                return
        raise SystemExit(f"redis-server did not answer on {self.socket}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()
