"""The worker's end of the fork server: start it, ask it for children, pass them signals, hear how they ended."""

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from scheduler.worker import process_tree
from scheduler.worker.wire import pack

MARK = "SCHEDULER_PROCESS_TREE"
PATIENCE_S = 30.0  # for a child; the start of the interpreter on a busy machine included
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
    """A running fork server; ``settings`` are arguments of ``zygote.main``."""

    def __init__(self, settings: Mapping[str, str], env: Mapping[str, str]) -> None:
        """OSError when it cannot be started."""
        self.buried = False
        self._lock = threading.Lock()
        self._mark = secrets.token_hex(8)
        self._line, theirs = socket.socketpair()
        self._line.settimeout(PATIENCE_S)
        with theirs:
            try:
                self.process = _spawn(theirs.fileno(), settings, {**env, MARK: self._mark})
            except OSError:
                self._line.close()
                raise

    def fork(self) -> tuple[int, socket.socket, int, int]:
        """A new child: its number, and our ends of its control socket, of the pipe that takes its output, and of that for its end.

        ConnectionError or TimeoutError when the fork server is to be replaced; any other OSError: there is no child to be had.
        """
        ends: list[int] = []  # ours and the child's in turn
        try:
            ends += os.pipe()
            ends += os.pipe()
            ends += [end.detach() for end in socket.socketpair()]
            with self._lock:
                pid = self._ask_for_child(ends[1::2])
        except OSError:
            _close(ends[::2])
            raise
        finally:
            _close(ends[1::2])
        output, status, control = ends[::2]
        return pid, socket.socket(fileno=control), output, status

    def signal(self, pid: int, number: int) -> None:
        with suppress(OSError):  # it is dying, and its children with it
            self._line.send(pack(["signal", pid, int(number)]))

    def kill(self) -> None:
        """Its children die with it."""
        self.process.kill()

    def bury(self) -> None:
        """Let it go with all its children, or make it go; and kill what may be left of the trees that it kept."""
        with self._lock:
            if self.buried:
                return
            self.buried = True
            self._line.close()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(1.0)
            self.process.kill()
            self.process.wait()
            process_tree.kill_marked(MARK, self._mark)

    def _ask_for_child(self, fds: Sequence[int]) -> int:
        if self.buried:
            raise ConnectionResetError("the fork server is gone")
        socket.send_fds(self._line, [pack(["fork"])], fds)
        answer = self._line.recv(4096)
        if not answer:
            raise ConnectionResetError("the fork server has died")
        if isinstance(pid := json.loads(answer), str):
            raise OSError(pid)
        return int(pid)


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def _spawn(fd: int, settings: Mapping[str, str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """With our import path, whichever way we came by it; ``-P``: and nothing from the working directory."""
    path = [entry or os.getcwd() for entry in sys.path]  # noqa: PTH109  as text
    code = f"import sys; sys.path[:] = {path!r}; from scheduler.worker.zygote import main; main({fd}, **{settings!r})"
    command = [sys.executable, "-P", "-c", code]
    return subprocess.Popen(command, pass_fds=[fd], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True, env=env)
