"""The probe's child process: imports plugins one after another and tells what it found, a JSON line each, in a file of its own.

Started as ``python -m scheduler.plugins.child ANSWERS STACK`` (two file descriptors) with the request as JSON on stdin:
``folder``, ``allow_writable``, ``timeout_s``, ``targets``. Answers ``{}`` when ready, then one record a target. It leaves early, after
the record, when a plugin left something behind in this process, so that the next plugin meets a clean one.
"""

import faulthandler
import inspect
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scheduler.core.errors import PluginError
from scheduler.core.marks import marks_of, unmarked
from scheduler.plugins.loader import load, parse_target, use_folder

_Traces = dict[str, set[tuple[str, int]]]
_MAX_TEXT = 200  # enough for a list on a screen; a plugin must not flood the store with its doc


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
        return {"ok": True, **_describe(load(parse_target(target)))}
    except PluginError as error:
        return {"ok": False, "error": str(error)}
    except BaseException as error:  # KeyboardInterrupt, GeneratorExit: even these must break only their own plugin
        return {"ok": False, "error": f"{target}: {type(error).__name__}: {error} (while being imported)"}


def _say(answers: int, record: dict[str, Any]) -> None:
    with os.fdopen(answers, "wb", closefd=False) as file:
        file.write(json.dumps(record, default=_plain).encode() + b"\n")


def _describe(exposed: Callable[..., Any]) -> dict[str, Any]:
    """``kind`` function | async | class, ``signature``, ``marks``, ``doc`` and ``file`` of what a plugin exposes."""
    inner = unmarked(exposed)
    is_class = inspect.isclass(inner)
    execute = getattr(inner, "execute") if is_class else inner  # noqa: B009 -- a plain attribute would need a cast
    function = unmarked(execute)
    module = sys.modules.get(getattr(inner, "__module__", ""))
    doc = inspect.getdoc(inner) or inspect.getdoc(module) or ""
    return {
        "kind": "async" if inspect.iscoroutinefunction(function) else "class" if is_class else "function",
        "signature": _signature(function)[is_class:],
        "marks": {**marks_of(execute), **marks_of(exposed)},
        "doc": doc.strip().partition("\n")[0][:_MAX_TEXT],
        "file": getattr(module, "__file__", None) or "",
    }


def _plain(value: object) -> str:
    """For ``json.dumps(default=…)``: an exception class by its name, everything else as text."""
    return value.__name__ if inspect.isclass(value) else str(value)


def _signature(function: Callable[..., Any]) -> list[dict[str, Any]]:
    try:
        return [_parameter(parameter) for parameter in inspect.signature(function).parameters.values()]
    except ValueError:  # written in C without a signature: it takes what it takes
        return [{"name": "kwargs", "kind": "var_keyword", "required": False, "annotation": ""}]


def _parameter(parameter: inspect.Parameter) -> dict[str, Any]:
    kind, annotation = parameter.kind.name.lower(), parameter.annotation
    text = "" if annotation is parameter.empty else annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    required = parameter.default is parameter.empty and not kind.startswith("var_")
    return {"name": parameter.name, "kind": kind, "required": required, "annotation": text[:_MAX_TEXT]}


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
