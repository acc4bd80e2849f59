"""The parent's end of the probe's child process: start it, read its lines, find out how it ended, leave nothing of it behind."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, Self

from scheduler.core.clock import monotonic

_LINE_MAX = 1 << 20  # no honest answer comes near; the rest is somebody writing into a pipe that is not his
_LOOK_S = 0.1  # how soon a death is seen when a grandchild keeps the pipe open
_FAREWELL_S = 1.0
_DUMP_MAX = 1 << 16
_SIGNALS = {member.value: member.name for member in signal.Signals}


class ProbeProcess:
    """One child in a session of its own. Use it in ``with``: leaving kills the whole process group."""

    def __init__(self, python: str, request: Mapping[str, Any]) -> None:
        self._timeout_s = request["timeout_s"]
        self._late_s = 0.0
        self._silent = False
        self._buffer = b""
        with contextlib.ExitStack() as undo:
            self._dump = undo.enter_context(tempfile.TemporaryFile())
            self._pipe, theirs = os.pipe()
            undo.callback(os.close, self._pipe)
            try:
                self._process = self._start(python, request, theirs)
            finally:
                os.close(theirs)
            self._resources = undo.pop_all()

    def _start(self, python: str, request: Mapping[str, Any], answers: int) -> subprocess.Popen[bytes]:
        dump = self._dump.fileno()
        with tempfile.TemporaryFile() as stdin:  # a file, because a pipe to a child that does not read would block us
            stdin.write(json.dumps(request).encode())
            stdin.seek(0)
            return subprocess.Popen(
                [python, "-P", "-m", "scheduler.plugins.child", str(answers), str(dump)],
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(answers, dump),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)},  # noqa: PTH109 -- a str is needed
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._silent:
            self.line(_FAREWELL_S)  # it has said all there is and leaves by itself
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._resources.close()

    def line(self, timeout_s: float) -> bytes | None:
        """The next line; None when there will be none: dead, silent for ``timeout_s``, or talking nonsense."""
        deadline = monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left = deadline - monotonic()
                if left <= 0:
                    self._late_s = timeout_s
                self._silent = left <= 0 or len(self._buffer) > _LINE_MAX or not self._read(selector, min(left, _LOOK_S))
                if self._silent:
                    return None
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _read(self, selector: selectors.BaseSelector, wait_s: float) -> bool:
        """Read what is there; False when nothing will ever come."""
        dead = self._process.poll() is not None  # asked before the wait: what it wrote before its death is in the pipe by then
        if not selector.select(wait_s):
            return not dead
        chunk = os.read(self._pipe, 1 << 16)
        self._buffer += chunk
        return bool(chunk)

    def ending(self) -> str:
        """How the process ended after ``line`` gave None, as the predicate of a sentence."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if self._late_s else 0.5)
        code = self._process.returncode
        if self._late_s or self.dump().startswith("Timeout"):
            return f"takes longer than {self._late_s or self._timeout_s:g} s"
        if code is None:
            return "writes to or closes file descriptors that are not its own"
        return f"dies of {_SIGNALS.get(-code, f'signal {-code}')}" if code < 0 else f"ends its process with exit code {code}"

    def dump(self) -> str:
        """What faulthandler wrote of the stack at the end; '' when there was no time to."""
        # It escapes what is not ASCII, in file names too.
        return os.pread(self._dump.fileno(), _DUMP_MAX, 0).decode("unicode_escape", "replace")
