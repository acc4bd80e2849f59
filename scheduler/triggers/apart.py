"""Custom triggers live and are asked in a child process: what hangs, even in C, or crashes is killed there, and stalls nobody else.

One child serves this whole process, from the first question on. A question that it does not survive costs another one.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import IO, Any, cast

from scheduler.core.clock import monotonic
from scheduler.core.errors import PluginError
from scheduler.triggers.errors import TriggerError

_ANSWER_S = 0.1
_BUILD_S = 2.0  # to import the module and make the object; a leader must not be silent for longer
_START_S = 30.0  # to start Python on a machine that is very busy
_AT_ONCE_S, _SHARE = 2.0, 0.1  # of answers to one trigger's questions: a search may ask thousands


class _LostError(Exception):
    """The child did not survive the question; how it was lost, as the end of a sentence."""


@dataclass(slots=True)
class Apart:
    """An object of the class ``target`` in the child; ``args``: of its constructor, as JSON. What it raises is raised here by its name.

    Its answers may take two seconds at once, and a tenth of the time: until ``paid_s`` on the monotonic clock what it took is made up for.
    """

    target: str
    args: str
    paid_s: float = 0.0

    def next(self, after_ms: int) -> Any:
        began_s = monotonic()
        if self.paid_s - began_s > _AT_ONCE_S / _SHARE:
            raise TriggerError(f"{self.target} answers too slowly: its last answers took more than {_AT_ONCE_S:g} s", "class")
        try:
            return _child.ask(self.target, self.args, after_ms)
        finally:
            self.paid_s = max(self.paid_s, began_s) + (monotonic() - began_s) / _SHARE


def build_apart(target: str, /, **args: Any) -> Apart | None:
    """None for a class that has no ``next``. Raises PluginError when there is no such class, and whatever its constructor raises."""
    text = json.dumps(args, default=str)
    return Apart(target, text) if _child.ask(target, text) else None


def use_folder(folder: Path) -> None:
    """Classes are imported anew, from this plugin folder."""
    _child.use_folder(folder)


class _Child:
    """The child, whether it runs at present or not; one question at a time."""

    def __init__(self) -> None:
        self._folder = ""
        self.forget()

    def forget(self) -> None:
        """In a fork of this process: the child belongs to the original, and whoever held the lock is not here."""
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = b""

    def use_folder(self, folder: Path) -> None:
        with self._lock:
            self._folder = str(folder)
            self.end()

    def ask(self, target: str, args: str, after_ms: int | None = None) -> Any:
        """What ``next(after_ms)`` gives; without ``after_ms``, whether there is a ``next``."""
        subject = f"class {target}" if after_ms is None else f"{target}.next({after_ms})"
        with self._lock:
            try:
                told = self._told([target, args, after_ms])
            except _LostError as error:
                raise TriggerError(f"{subject}{error}", "class") from error
        if "value" in told:
            return told["value"]
        kind, text = told["error"]
        raise PluginError(text) if kind == PluginError.__name__ else type(kind, (Exception,), {})(text)

    def _told(self, question: list[Any]) -> dict[str, Any]:
        try:
            return self._told_once(question)
        except _LostError:
            if question[-1] is None:
                raise
            return self._told_once(question)  # an overloaded machine may take the processor away for longer than the budget once

    def _told_once(self, question: list[Any]) -> dict[str, Any]:
        try:
            if self._process is None or self._process.poll() is not None:
                self._start()
            with suppress(BrokenPipeError):  # the end of the answers tells the same
                self._pipe("stdin").write(json.dumps(question).encode() + b"\n")
            told = self._line(_BUILD_S)
            return told if question[-1] is None or "error" in told else self._line(_ANSWER_S)
        except BaseException:  # also when we are interrupted: an answer that is still to come would be taken for the next one's
            self.end()
            raise

    def _start(self) -> None:
        self.end()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "scheduler.plugins.trigger_child", self._folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)},  # noqa: PTH109 -- a str is needed
            start_new_session=True,
        )
        self._line(_START_S)

    def _line(self, seconds: float) -> dict[str, Any]:
        deadline, pipe, poll = monotonic() + seconds, self._pipe("stdout"), select.poll()
        poll.register(pipe, select.POLLIN)
        while b"\n" not in self._heard:
            if not poll.poll(max(0.0, deadline - monotonic()) * 1000):
                raise _LostError(f" took longer than {seconds:g} s")
            heard = pipe.read(1 << 16)
            if not heard:
                raise _LostError(" ended its process")
            self._heard += heard
        line, _, self._heard = self._heard.partition(b"\n")
        return cast("dict[str, Any]", json.loads(line))

    def _pipe(self, name: str) -> IO[bytes]:
        return cast("IO[bytes]", getattr(self._process, name))

    def end(self) -> None:
        """Nothing of it is left behind; the next question starts another."""
        process, self._process, self._heard = self._process, None, b""
        if process is not None:
            with process, suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


_child = _Child()
atexit.register(_child.end)
os.register_at_fork(after_in_child=_child.forget)
