"""The trigger process: makes objects of the user's classes and asks them, so that one that hangs or crashes does it here.

Started as ``python -m scheduler.plugins.trigger_child FOLDER`` ('' for no plugin folder). Says ``{}`` when ready. A question on stdin is
a JSON line ``[class, args as JSON, after_ms]``. Answers, a line each: whether the object has a ``next``; then, unless ``after_ms`` is
null or that failed, what it gave. An answer is ``{"value": …}`` or ``{"error": [name of its class, text]}``.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from scheduler.plugins.loader import find, parse_target, use_folder

_LONGEST_S = 3  # whoever asks kills sooner; this is for when that process is dead itself, and needs no GIL to act


def main() -> None:
    # What a class reads or prints has nothing to do with questions and answers, and what it starts does not hold their pipes.
    questions, answers = os.fdopen(os.dup(0), "rb"), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    if folder := sys.argv[1]:
        use_folder(Path(folder))
    os.write(answers, b"{}\n")
    for question in questions:
        signal.alarm(_LONGEST_S)
        _answer(answers, *json.loads(question))
        signal.alarm(0)
    os._exit(0)  # threads and exit handlers of the classes have no say in when we end


def _answer(answers: int, target: str, args: str, after_ms: int | None) -> None:
    if _tell(answers, lambda: callable(_next_of(target, args))) and after_ms is not None:
        _tell(answers, lambda: _next_of(target, args)(after_ms))


@lru_cache(maxsize=1000)
def _next_of(target: str, args: str) -> Any:
    return getattr(find(parse_target(target))(**json.loads(args)), "next", None)


def _tell(answers: int, call: Callable[[], Any]) -> bool:
    """Whether ``call`` gave something."""
    try:
        line, well = json.dumps({"value": call()}, default=repr), True
    except BaseException as error:
        line, well = json.dumps({"error": [type(error).__name__, str(error)]}), False
    os.write(answers, line.encode() + b"\n")
    return well


if __name__ == "__main__":
    main()
