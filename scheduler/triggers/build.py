"""From configuration to trigger."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from scheduler.triggers.calendar_interval import FIELDS as CALENDAR_FIELDS
from scheduler.triggers.calendar_interval import calendar_interval
from scheduler.triggers.combine import AllOf, AnyOf
from scheduler.triggers.cron import cron
from scheduler.triggers.custom import custom
from scheduler.triggers.dates import Once, instants_of
from scheduler.triggers.errors import TriggerError, check_choice
from scheduler.triggers.fields import FIELDS as CRON_FIELDS
from scheduler.triggers.frame import OPTIONS, Frame, read_frame
from scheduler.triggers.interval import UNITS, interval
from scheduler.triggers.trigger import BuiltTrigger, Source
from scheduler.triggers.wallclock import WallClock

# The arguments of each kind beside the options that all kinds take; a custom class has any.
KINDS: Mapping[str, tuple[str, ...]] = {
    "interval": tuple(UNITS),
    "cron": ("expression", *CRON_FIELDS),
    "date": ("run_date",),
    "calendar_interval": CALENDAR_FIELDS,
    "or": ("triggers",),
    "and": ("triggers",),
    "custom": ("class",),
}
_LATER = ("calendar", "on_holiday")
_MAX_TRIGGERS = 20
_NO_CLASSES: Mapping[str, type] = MappingProxyType({})


def build_trigger(kind: str, args: Mapping[str, Any], timezone: str = "UTC", *, register: Mapping[str, type] = _NO_CLASSES) -> BuiltTrigger:
    """The trigger that ``kind`` and ``args`` describe; ``args`` may name another ``timezone``.

    ``register`` holds the classes that ``custom`` may name. Raises TriggerError for anything wrong, and for a trigger that
    never fires from its start on; a date that has passed is no error, as no clock is read here.
    """
    return _build(kind, args, timezone, register, ())


def _build(kind: str, args: Mapping[str, Any], timezone: str, register: Mapping[str, type], inside: tuple[str, ...]) -> BuiltTrigger:
    check_choice("trigger", kind, KINDS)
    _check_names(kind, args)
    frame = read_frame(args, timezone)
    own = {name: value for name, value in args.items() if name not in OPTIONS}
    if kind in {"or", "and"}:
        inherited = {name: args[name] for name in ("dst",) if name in args}
        source: Source = _combined(kind, own.get("triggers"), (inherited, frame.zone.key, register, (*inside, kind)))
    else:
        source = _single(kind, own, frame, register)
    trigger = BuiltTrigger(source, frame.start_ms, frame.end_ms, frame.jitter_ms, frame.max_runs)
    if trigger.next(frame.start_ms - 1) is None:
        where = ("expression",) if "expression" in own else ()
        raise TriggerError(f"{kind} {own} never fires: no instant matches it between its start and its end", *where)
    return trigger


def _check_names(kind: str, args: object) -> None:
    if not isinstance(args, Mapping):
        raise TriggerError(f"args {args!r} must be a mapping")
    for name in args:
        if name in _LATER:
            raise TriggerError(f"{name} is not available yet: calendars come with a later version", name)
        if kind != "custom":
            check_choice(f"argument of {kind}", name, (*KINDS[kind], *OPTIONS), str(name))


def _check_inner(args: Mapping[str, Any]) -> None:
    for name in ("jitter", "max_runs"):
        if name in args:
            raise TriggerError(f"{name} belongs to the outer trigger, whose fires it concerns", name)


def _single(kind: str, own: Mapping[str, Any], frame: Frame, register: Mapping[str, type]) -> Source:
    match kind:
        case "interval":
            return interval(own, frame.start_ms)
        case "cron":
            return WallClock(cron(own), frame.zone, frame.dst)
        case "calendar_interval":
            return WallClock(calendar_interval(own, frame.first_day), frame.zone, frame.dst)
        case "date":
            return Once(instants_of(own.get("run_date"), "run_date", frame.zone, frame.dst))
        case _:
            return custom(own, register)


_Inherited = tuple[Mapping[str, Any], str, Mapping[str, type], tuple[str, ...]]


def _combined(kind: str, specs: object, inherited: _Inherited) -> Source:
    if not isinstance(specs, list | tuple) or not 1 <= len(specs) <= _MAX_TRIGGERS:
        example = "[{trigger: cron, args: {hour: 9}}, …]"
        raise TriggerError(f"triggers {specs!r} must be a list of 1 to {_MAX_TRIGGERS} triggers such as {example}", "triggers")
    children = [_child(spec, index, inherited) for index, spec in enumerate(specs)]
    return AnyOf(children) if kind == "or" else AllOf(children)


def _child(spec: object, index: int, inherited: _Inherited) -> BuiltTrigger:
    options, timezone, register, inside = inherited
    place = ("triggers", index)
    if not isinstance(spec, Mapping):
        raise TriggerError(f"{spec!r} must be a trigger such as {{trigger: cron, args: {{hour: 9}}}}", *place)
    for name in spec:
        check_choice("key of a trigger", name, ("trigger", "args"), *place, str(name))
    kind = check_choice("trigger", spec.get("trigger"), KINDS, *place, "trigger")
    if kind in inside:
        raise TriggerError(f"{kind!r} inside {kind!r}: write its triggers in the outer list", *place, "trigger")
    args = spec.get("args", {})
    try:
        _check_names(kind, args)
        _check_inner(args)
        return _build(kind, {**options, **args}, timezone, register, inside)
    except TriggerError as error:
        raise error.within(*place, "args") from None
