"""Triggers written by users: a class whose ``next(after_ms)`` is asked from a thread of its own, so that a loop in it stalls nobody."""

import ctypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Thread
from typing import Any

from scheduler.core.ports import Trigger
from scheduler.triggers.errors import TriggerError, nearest
from scheduler.triggers.trigger import walk

BUDGET_SECONDS = 0.1
_TRIES = 2  # an overloaded machine may take the processor away for longer than the budget once


@dataclass(frozen=True, slots=True)
class Custom:
    """The user's object. Its exceptions, wrong answers and overruns all come out as TriggerErrors that name its class."""

    name: str
    trigger: Trigger

    def next(self, after_ms: int) -> int | None:
        answer = self._ask(after_ms)
        if answer is None or (type(answer) is int and answer > after_ms):
            return answer
        raise TriggerError(f"{self.name}.next({after_ms}) gave {answer!r}: it must give a whole number above {after_ms}, or None", "class")

    def instants(self, after_ms: int) -> Iterator[int]:
        return walk(self, after_ms)

    def _ask(self, after_ms: int) -> Any:
        for _ in range(_TRIES):
            call = _Call(self.trigger, after_ms)
            if call.finished():
                if call.error is None:
                    return call.answer
                text = f"{type(call.error).__name__}: {call.error}"
                raise TriggerError(f"{self.name}.next({after_ms}) raised {text}", "class") from call.error
        raise TriggerError(f"{self.name}.next({after_ms}) took longer than {BUDGET_SECONDS:g} s", "class")


class _Call(Thread):
    """One question to a user's trigger."""

    def __init__(self, trigger: Trigger, after_ms: int) -> None:
        super().__init__(name="custom-trigger", daemon=True)
        self._trigger, self._after_ms = trigger, after_ms
        self.answer: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.answer = self._trigger.next(self._after_ms)
        except BaseException as error:
            self.error = error

    def finished(self) -> bool:
        """Whether the answer came within the budget; a call that overran is told to end, which pure Python code obeys."""
        self.start()
        self.join(BUDGET_SECONDS)
        if self.is_alive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident or 0), ctypes.py_object(SystemExit))
            return False
        return True


def custom(args: Mapping[str, Any], register: Mapping[str, type]) -> Custom:
    """From ``class: "module:Class"``, one of ``register``; all other arguments go to its constructor."""
    name = args.get("class")
    if not isinstance(name, str) or name not in register:
        known = ", ".join(register) or "none"
        raise TriggerError(f"class {name!r} is not a registered trigger: known are {known}{nearest(name, register)}", "class")
    try:
        trigger = register[name](**{key: value for key, value in args.items() if key != "class"})
    except Exception as error:
        raise TriggerError(f"class {name} cannot be built: {type(error).__name__}: {error}", "class") from error
    if not callable(getattr(trigger, "next", None)):
        raise TriggerError(f"class {name} has no method next(after_ms)", "class")
    return Custom(name, trigger)
