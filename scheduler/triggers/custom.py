"""Triggers written by users: a class whose ``next(after_ms)`` is asked from a thread of its own, so that a loop in it stalls nobody."""

import ctypes
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Any

from scheduler.core.nearest import did_you_mean
from scheduler.core.ports import Trigger
from scheduler.triggers.errors import TriggerError
from scheduler.triggers.trigger import Source

BUDGET_SECONDS = 0.1
_TRIES = 2  # an overloaded machine may take the processor away for longer than the budget once


@dataclass(frozen=True, slots=True)
class Custom(Source):
    """The user's object. Its exceptions, wrong answers and overruns all come out as TriggerErrors that name its class."""

    name: str
    trigger: Trigger

    def next(self, after_ms: int) -> int | None:
        answer = self._ask(after_ms)
        if answer is None or (type(answer) is int and answer > after_ms):
            return answer
        raise TriggerError(f"{self.name}.next({after_ms}) gave {answer!r}: it must give a whole number above {after_ms}, or None", "class")

    def _ask(self, after_ms: int) -> Any:
        for _ in range(_TRIES):
            call: Future[Any] = Future()
            thread = Thread(target=_call, args=(call, self.trigger, after_ms), name="custom-trigger", daemon=True)
            thread.start()
            thread.join(BUDGET_SECONDS)
            if not thread.is_alive():
                if error := call.exception():
                    raise TriggerError(f"{self.name}.next({after_ms}) raised {type(error).__name__}: {error}", "class") from error
                return call.result()
            # Pure Python code obeys this; a call that hangs in C is left behind.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
        raise TriggerError(f"{self.name}.next({after_ms}) took longer than {BUDGET_SECONDS:g} s", "class")


def _call(call: Future[Any], trigger: Trigger, after_ms: int) -> None:
    try:
        call.set_result(trigger.next(after_ms))
    except BaseException as error:
        call.set_exception(error)


def custom(args: Mapping[str, Any], register: Mapping[str, type]) -> Custom:
    """From ``class: "module:Class"``, one of ``register``; all other arguments go to its constructor."""
    name = args.get("class")
    if not isinstance(name, str) or name not in register:
        known = ", ".join(register) or "none"
        raise TriggerError(f"class {name!r} is not a registered trigger: known are {known}{did_you_mean(name, register)}", "class")
    try:
        trigger = register[name](**{key: value for key, value in args.items() if key != "class"})
    except Exception as error:
        raise TriggerError(f"class {name} cannot be built: {type(error).__name__}: {error}", "class") from error
    if not callable(getattr(trigger, "next", None)):
        raise TriggerError(f"class {name} has no method next(after_ms)", "class")
    return Custom(name, trigger)
