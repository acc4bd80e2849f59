"""The parent's end of the probe's child process: start it, watch it, find out how it ended, leave nothing of it behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

from scheduler.core.clock import monotonic

_LOOK_S = 0.01  # how soon an end is seen
_ANSWERS_MAX = 1 << 24  # no honest answers come near; beyond it somebody writes into a file that is not his
_STACK_MAX = 1 << 16
_SIGNALS = {member.value: member.name for member in signal.Signals}


class Ended(NamedTuple):
    """What a child left: the lines it answered, how it ended (the predicate of a sentence), and its last stack ('' for none)."""

    lines: list[bytes]
    how: str
    stack: str


def run_child(python: str, request: Mapping[str, Any], start_s: float, silence_s: float) -> Ended:
    """Run the child to its end, or until it did not start in ``start_s`` or was silent for ``silence_s``; kills its process group."""
    # Files, because pipes block whoever does not read or write in time, and stay open as long as a grandchild holds them.
    with TemporaryFile() as stdin, TemporaryFile() as answers, TemporaryFile() as stack:
        stdin.write(json.dumps(request).encode())
        stdin.seek(0)
        process = subprocess.Popen(
            [python, "-P", "-m", "scheduler.plugins.child", str(answers.fileno()), str(stack.fileno())],
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(answers.fileno(), stack.fileno()),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)},  # noqa: PTH109 -- a str is needed
            start_new_session=True,
        )
        try:
            late_s = _watch(process, answers, start_s, silence_s)
        finally:  # also when we are interrupted: nothing of it is left behind
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        # faulthandler escapes what is not ASCII, in file names too.
        last = os.pread(stack.fileno(), _STACK_MAX, 0).decode("unicode_escape", "replace")
        if last.startswith("Timeout"):
            late_s = request["timeout_s"]
        return Ended(os.pread(answers.fileno(), _ANSWERS_MAX, 0).splitlines(), _how(code, late_s), last)


def _watch(process: subprocess.Popen[bytes], answers: IO[bytes], start_s: float, silence_s: float) -> float:
    """Wait for the end; gives the seconds of silence after which the child was given up, or 0."""
    size, patience_s, heard_s = 0, start_s, monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_S)
            return 0.0
        if size < (grown := os.fstat(answers.fileno()).st_size) < _ANSWERS_MAX:
            size, patience_s, heard_s = grown, silence_s, monotonic()
        elif monotonic() - heard_s > patience_s:
            return patience_s


def _how(code: int, late_s: float) -> str:
    if late_s:
        return f"takes longer than {late_s:g} s"
    return f"dies of {_SIGNALS.get(-code, f'signal {-code}')}" if code < 0 else f"ends its process with exit code {code}"
