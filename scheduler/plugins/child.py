"""The probe's child process: imports plugins one after another and tells what it found, a JSON line each, in a file of its own.

Started as ``python -m scheduler.plugins.child ANSWERS STACK`` (two file descriptors) with the request as JSON on stdin:
``folder``, ``allow_writable``, ``timeout_s``, ``targets``. Answers ``{}`` when ready, then one record a target. It leaves early, after
the record, when a plugin left something behind in this process, so that the next plugin meets a clean one.
"""

import faulthandler
import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from scheduler.core.errors import PluginError
from scheduler.plugins.describe import as_text, describe
from scheduler.plugins.loader import load, parse_target, use_folder

_Traces = dict[str, set[tuple[str, int]]]


def main() -> None:
    answers, stack = (int(number) for number in sys.argv[1:])
    request = json.loads(sys.stdin.buffer.read())
    sys.argv[1:] = []
    for descriptor in (answers, stack):
        os.set_inheritable(descriptor, False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable(stack, all_threads=False)
    sys.dont_write_bytecode = True  # looking at plugins must not write beside them
    use_folder(Path(request["folder"]), allow_writable=request["allow_writable"])
    _say(answers, {})
    _probe_all(answers, stack, request)
    os._exit(0)  # a plugin's threads and exit handlers have no say in when we end


def _probe_all(answers: int, stack: int, request: dict[str, Any]) -> None:
    pid, before = os.getpid(), _traces()
    for target in request["targets"]:
        # A thread without need of the GIL: it ends a plugin that hangs in C, and this process when its parent is long dead.
        faulthandler.dump_traceback_later(request["timeout_s"], exit=True, file=stack)
        record = _probe(target)
        if os.getpid() != pid:
            os._exit(0)  # a copy made by a plugin that forks: only the original may answer
        record["warnings"] = _side_effects(before)
        _say(answers, record)
        if record["warnings"]:
            return


def _probe(target: str) -> dict[str, Any]:
    try:
        return {"ok": True, **describe(load(parse_target(target)))}
    except PluginError as error:
        return {"ok": False, "error": str(error)}
    except BaseException as error:  # KeyboardInterrupt, GeneratorExit: even these must break only their own plugin
        return {"ok": False, "error": f"{target}: {type(error).__name__}: {error} (while being imported)"}


def _say(answers: int, record: dict[str, Any]) -> None:
    with os.fdopen(answers, "wb", closefd=False) as file:
        file.write(json.dumps(record, default=as_text).encode() + b"\n")


def _side_effects(before: _Traces) -> list[str]:
    """One short phrase for each kind of thing that a module has changed, and would change in the worker too; [] for a good one."""
    changed = {phrase: sorted(name for name, _ in now - before[phrase]) for phrase, now in _traces().items()}
    return [f"{phrase} at import ({', '.join(names)})" for phrase, names in changed.items() if names]


def _traces() -> _Traces:
    """What an import can change in this process: phrase → (name, identity) of all there is."""
    return {
        "starts threads": {(thread.name, id(thread)) for thread in threading.enumerate()},
        "changes signal handlers": {(number.name, id(signal.getsignal(number))) for number in signal.Signals},
        "sets an alarm": {("setitimer", True)} if any(signal.getitimer(signal.ITIMER_REAL)) else set(),
        "changes the working directory": {(os.getcwd(), True)},  # noqa: PTH109 -- a path object would be made for a comparison only
        "leaves child processes": {("fork or subprocess", True)} if _has_children() else set(),
    }


def _has_children() -> bool:
    """Only a process without children gets ECHILD; the one that may be reaped here has nobody left who would miss it."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    main()
