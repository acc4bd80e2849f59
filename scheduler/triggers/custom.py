"""Triggers written by users: a class whose ``next(after_ms)`` is asked, and whose answers are not trusted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.core.errors import PluginError
from scheduler.core.nearest import did_you_mean
from scheduler.core.ports import Trigger
from scheduler.triggers.errors import TriggerError
from scheduler.triggers.trigger import Source

Register = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Custom(Source):
    """The user's object. Its exceptions and wrong answers come out as TriggerErrors that name its class."""

    name: str
    trigger: Trigger

    def next(self, after_ms: int) -> int | None:
        try:
            answer = self.trigger.next(after_ms)
        except TriggerError:  # it could not be asked
            raise
        except (Exception, SystemExit) as error:
            raise TriggerError(f"{self.name}.next({after_ms}) raised {type(error).__name__}: {error}", "class") from error
        if answer is None or (type(answer) is int and answer > after_ms):
            return answer
        raise TriggerError(f"{self.name}.next({after_ms}) gave {answer!r}: it must give a whole number above {after_ms}, or None", "class")


def custom(args: Mapping[str, Any], register: Register) -> Custom:
    """From ``class: "module:Class"``, one of ``register``; all other arguments go to its constructor."""
    name = args.get("class")
    if not isinstance(name, str) or name not in register:
        known = ", ".join(register) or "none"
        raise TriggerError(f"class {name!r} is not a registered trigger: known are {known}{did_you_mean(name, register)}", "class")
    try:
        trigger = register[name](**{key: value for key, value in args.items() if key != "class"})
    except (PluginError, TriggerError):  # there is no such class, or it could not be asked
        raise
    except Exception as error:
        raise TriggerError(f"class {name} cannot be built: {type(error).__name__}: {error}", "class") from error
    if not callable(getattr(trigger, "next", None)):
        raise TriggerError(f"class {name} has no method next(after_ms)", "class")
    return Custom(name, trigger)
