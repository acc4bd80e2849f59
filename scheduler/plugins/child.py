"""The probe's child process: imports plugins one after another and tells what it found, a JSON line each, on a pipe of its own.

Started as ``python -m scheduler.plugins.child CHANNEL DUMP`` (two file descriptors) with the request as JSON on stdin:
``folder``, ``allow_writable``, ``timeout_s``, ``targets``. Answers ``{}`` when ready, then one record a target. It leaves early, after
the record, when a plugin left something behind in this process, so that the next plugin meets a clean one.
"""

import faulthandler
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any, BinaryIO

from scheduler.core.errors import PluginError
from scheduler.plugins.describe import describe, plain
from scheduler.plugins.effects import Effects
from scheduler.plugins.loader import load, parse_target, use_folder


def main() -> None:
    channel, dump = (int(number) for number in sys.argv[1:])
    request = json.loads(sys.stdin.buffer.read())
    sys.argv[1:] = []
    _prepare(channel, dump, request)
    with os.fdopen(channel, "wb") as answers:
        _say(answers, {})
        _probe_all(answers, dump, request)
        os._exit(0)  # a plugin's threads and exit handlers have no say in when we end


def _prepare(channel: int, dump: int, request: dict[str, Any]) -> None:
    for descriptor in (channel, dump):
        os.set_inheritable(descriptor, False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable(dump, all_threads=False)
    sys.dont_write_bytecode = True  # looking at plugins must not write beside them
    use_folder(Path(request["folder"]), allow_writable=request["allow_writable"])


def _probe_all(answers: BinaryIO, dump: int, request: dict[str, Any]) -> None:
    pid, effects = os.getpid(), Effects()
    for target in request["targets"]:
        # A thread without need of the GIL: it ends a plugin that hangs in C, and this process when its parent is long dead.
        faulthandler.dump_traceback_later(request["timeout_s"], exit=True, file=dump)
        record = _probe(target)
        if os.getpid() != pid:
            os._exit(0)  # a copy made by a plugin that forks: only the original may answer
        record["warnings"] = effects.found()
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


def _say(answers: BinaryIO, record: dict[str, Any]) -> None:
    answers.write(json.dumps(record, default=plain).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
