"""The worker's end of the fork server: start it, ask it for children, pass them signals, hear how they ended."""

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from scheduler.core.clock import monotonic
from scheduler.worker import process_tree
from scheduler.worker.wire import LineBuffer, pack

MARK = "SCHEDULER_PROCESS_TREE"
BACKLOG = 16  # questions it may owe answers to: the socket holds more, but descriptors in flight are dear
PATIENCE_S = 30.0  # for an answer; the start of the interpreter on a busy machine included
_PASSED = (
    *("PATH", "LANG", "LANGUAGE", "TZ", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TMP", "TEMP", "APP_ENV"),
    *("VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
_PASSED_PREFIXES = ("LC_", "PYTHON", "CUDA", "NVIDIA_", "NCCL_", "OMP_", "MKL_", "OPENBLAS_", "XDG_")


def passed_environment(environment: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """What user code gets to see: the names a program needs to run, and what the deployment adds. Everything else may be a secret."""
    passed = {name: value for name, value in environment.items() if name.upper() in _PASSED or name.startswith(_PASSED_PREFIXES)}
    return {**passed, **extra}


class ForkServer:
    """A running fork server. OSError from the constructor or ``fork``: it cannot serve, and is to be replaced."""

    def __init__(self, settings: Mapping[str, Any], env: Mapping[str, str]) -> None:
        self._mark = secrets.token_hex(8)
        self._buffer = LineBuffer()
        self._unanswered = 0
        self._doomed = False
        self._heard = monotonic()
        self._connection, theirs = socket.socketpair()
        try:
            self._process = _spawn(theirs.fileno(), {**env, MARK: self._mark})
        except OSError:
            self._connection.close()
            raise
        finally:
            theirs.close()
        self._connection.setblocking(False)
        with suppress(OSError):  # it has died already; receive says so
            self._connection.send(pack({**settings, "env": dict(env)}))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def overdue_at(self) -> float:
        """When to give it up for dead (``monotonic`` seconds): it owes an answer since too long."""
        return self._heard + PATIENCE_S if self._unanswered else float("inf")

    @property
    def swamped(self) -> bool:
        """Whether to wait before asking for more: until it has answered, or until its successor is there."""
        return self._doomed or self._unanswered >= BACKLOG

    def fileno(self) -> int:
        return self._connection.fileno()

    def fork(self, slot: int, fds: Iterable[int]) -> None:
        """Ask for a child that owns ``fds``: its control socket and the writing end of its output."""
        self._ask()
        socket.send_fds(self._connection, [pack(["fork", slot])], list(fds))

    def signal(self, slot: int, number: int) -> None:
        self._ask()
        with suppress(OSError):  # it is dying, and its children with it
            self._connection.send(pack(["signal", slot, int(number)]))

    def receive(self) -> list[list[Any]] | None:
        """Its messages so far (see ``Zygote``); None when it is gone."""
        try:
            data = self._connection.recv(65536)
        except BlockingIOError:
            return []
        except ConnectionError:
            return None
        messages = self._buffer.feed(data)
        self._heard = monotonic()
        self._unanswered -= sum(verb != "exited" for verb, *_ in messages)
        return messages if data else None

    def hang_up(self) -> None:
        """Let it kill its children and leave; ``receive`` says None when that is done."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """For one that does not answer; its children die with it."""
        self._doomed = True
        self._process.kill()

    def bury(self) -> None:
        """After its end: reap it, and kill what may be left of the trees that it kept."""
        self._connection.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self._process.kill()
        self._process.wait()
        process_tree.kill_marked(MARK, self._mark)

    def _ask(self) -> None:
        if not self._unanswered:
            self._heard = monotonic()
        self._unanswered += 1


def _spawn(fd: int, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """With our import path, whichever way we came by it; ``-P``: and nothing from the working directory."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109  joined as text
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "scheduler.worker.zygote", str(fd)],
        pass_fds=[fd],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env={**env, "PYTHONPATH": path},
    )
