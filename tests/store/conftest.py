"""Foreign servers for the tests of the store: TCP servers of both makes, listeners that are no servers, and processes that use a store."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

import scheduler
from scheduler.store.binary import find_server
from scheduler.store.embedded import EmbeddedServer


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


def debian_server() -> str:
    found = shutil.which("redis-server")
    if not found:
        pytest.fail("no redis-server on PATH: apt-get install redis-server")
    return found


def end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def awaited(probe: Callable[[], Any], what: str, limit_s: float = 15) -> Any:
    """What ``probe`` gives once it is neither None nor false; for things that another process does."""
    deadline = time.monotonic() + limit_s  # noqa: TID251 - a foreign process is awaited
    while time.monotonic() < deadline:  # noqa: TID251 - the same
        if found := probe():
            return found
        time.sleep(0.005)  # noqa: TID251 - the same
    pytest.fail(f"{what} did not happen within {limit_s} s")


class TcpServer:
    """A server as an operator might have set it up."""

    def __init__(self, binary: str, directory: Path, *args: str, ready: str) -> None:
        self.port = _free_port()
        self.log = directory / f"{self.port}.log"
        home = directory / str(self.port)
        home.mkdir()
        command = [binary, *args, "--port", str(self.port), "--dir", str(home), "--logfile", str(self.log)]
        self.process = subprocess.Popen(command)
        awaited(lambda: self.log.exists() and ready in self.log.read_text(), f"the start of {' '.join(command)}")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, decode_responses=True)


@pytest.fixture
def until() -> Callable[..., Any]:
    """Waits for what another process does: ``until(probe, what)``."""
    return awaited


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short path: unix sockets end at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="sc") as path:
        yield Path(path)


@pytest.fixture
def serve(directory: Path) -> Iterator[Callable[..., TcpServer]]:
    """Starts servers: ``serve("--maxmemory-policy", "allkeys-lru", binary=…)``; Debian's redis-server unless told otherwise."""
    servers: list[TcpServer] = []

    def start(*args: str, binary: str = "", ready: str = "eady to accept") -> TcpServer:
        servers.append(TcpServer(binary or debian_server(), directory, *args, ready=ready))
        return servers[-1]

    yield start
    for server in servers:
        end(server.process)


@pytest.fixture
def listen() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Starts a listener that does to each connection what it is told; gives its port."""
    listeners: list[socket.socket] = []

    def start(treat: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_accept, args=(listener, treat), daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(listener: socket.socket, treat: Callable[[socket.socket], None]) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                treat(connection)


@pytest.fixture
def data_dir(directory: Path) -> Iterator[Path]:
    """A data directory whose embedded server, if any is left, is killed in the end."""
    path = directory / "data"
    yield path
    kill_server(path)


def kill_server(path: Path) -> None:
    """kill -9 of the server of a data directory; returns when it is gone."""
    server = EmbeddedServer(path)
    pid = server.pid
    if pid:
        os.kill(pid, signal.SIGKILL)
        awaited(lambda: server.pid is None, "the end of the server")


_USER = """
import sys
from pathlib import Path
from typing import Any
from scheduler.store.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    if line == "start\\n":
        server.start()
        print(server.adopted, server.pid, flush=True)
    else:
        server.stop()
        print("stopped", flush=True)
"""


class User:
    """Another process that uses the embedded store of a data directory."""

    def __init__(self, data_dir: Path) -> None:
        root = Path(scheduler.__file__).parents[1]
        command = [sys.executable, "-c", _USER, str(data_dir)]
        self.process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.hear() == "ready"

    def tell(self, word: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def start(self) -> tuple[bool, int]:
        """(adopted, pid of the server)."""
        self.tell("start")
        return self.started()

    def started(self) -> tuple[bool, int]:
        adopted, pid = self.hear().split()
        return adopted == "True", int(pid)

    def stop(self) -> None:
        self.tell("stop")
        assert self.hear() == "stopped"


@pytest.fixture
def another(data_dir: Path) -> Iterator[Callable[[], User]]:
    """Starts other processes that use the data directory."""
    users: list[User] = []

    def start() -> User:
        users.append(User(data_dir))
        return users[-1]

    yield start
    for user in users:
        end(user.process)


@pytest.fixture(params=["bundled", "debian"])
def either(request: pytest.FixtureRequest) -> Path:
    """The program of each make in turn."""
    return find_server() if request.param == "bundled" else Path(debian_server())


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    home = tmp_path_factory.mktemp("tls")
    chain, key = home / "cert.pem", home / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=store", "-addext", "subjectAltName=IP:127.0.0.1", "-out", str(chain), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return chain, key


@pytest.fixture
def tls_port(serve: Callable[..., TcpServer], certificate: tuple[Path, Path]) -> int:
    port = _free_port()
    chain, key = certificate
    files = ["--tls-cert-file", str(chain), "--tls-key-file", str(key), "--tls-ca-cert-file", str(chain)]
    serve("--tls-port", str(port), *files, "--tls-auth-clients", "optional")
    return port
