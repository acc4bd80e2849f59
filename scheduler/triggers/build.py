"""From configuration to trigger."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from scheduler.triggers.cron import cron
from scheduler.triggers.custom import Register, custom
from scheduler.triggers.errors import TriggerError, check_choice
from scheduler.triggers.fields import FIELDS
from scheduler.triggers.interval import CLOCK, STEPS, UNITS, calendar_interval, interval
from scheduler.triggers.options import OPTIONS, Options, moment_of, read_options
from scheduler.triggers.trigger import AllOf, AnyOf, BuiltTrigger, Source
from scheduler.triggers.wallclock import Dst, WallClock

# The arguments of each kind beside the options that all kinds take; a custom class has any.
KINDS: Mapping[str, tuple[str, ...]] = {
    "interval": tuple(UNITS),
    "cron": ("expression", *FIELDS),
    "date": ("run_date",),
    "calendar_interval": (*STEPS, *CLOCK),
    "or": ("triggers",),
    "and": ("triggers",),
    "custom": ("class",),
}
_LATER = ("calendar", "on_holiday")
_OF_FIRES = ("jitter", "max_runs")
_MAX_TRIGGERS = 20
_NO_CLASSES: Register = MappingProxyType({})


class _Around(NamedTuple):
    """What a trigger has from outside: zone and DST policy unless it names its own, and the kinds of combination it stands in."""

    timezone: str
    dst: Dst
    register: Register
    inside: tuple[str, ...] = ()


def build_trigger(kind: str, args: Mapping[str, Any], timezone: str = "UTC", *, register: Register = _NO_CLASSES) -> BuiltTrigger:
    """The trigger that ``kind`` and ``args`` describe; ``args`` may name another ``timezone``.

    ``register``: what makes the objects of the classes that ``custom`` may name. Raises TriggerError for anything wrong, and for a
    trigger that never fires from its start on; a date that has passed is no error, as no clock is read here.
    """
    return _build(kind, args, _Around(timezone, Dst(), register))


def _build(kind: str, args: Mapping[str, Any], around: _Around) -> BuiltTrigger:
    check_choice("trigger", kind, KINDS)
    _check_names(kind, args, around.inside)
    options = read_options(args, around.timezone, around.dst)
    own = {name: value for name, value in args.items() if name not in OPTIONS}
    source = _source(kind, own, options, around)
    trigger = BuiltTrigger(source, options.start_ms, options.end_ms, options.jitter_ms, options.max_runs)
    if trigger.next(options.start_ms - 1) is None:
        where = ("expression",) if "expression" in own else ()
        raise TriggerError(f"{kind} {own} never fires: no instant matches it between its start and its end", *where)
    return trigger


def _check_names(kind: str, args: object, inside: tuple[str, ...]) -> None:
    if not isinstance(args, Mapping):
        raise TriggerError(f"args {args!r} must be a mapping")
    for name in args:
        if name in _LATER:
            raise TriggerError(f"{name} is not available yet: calendars come with a later version", name)
        if kind != "custom":
            check_choice(f"argument of {kind}", name, (*KINDS[kind], *OPTIONS), str(name))
        if inside and name in _OF_FIRES:
            raise TriggerError(f"{name} belongs to the outer trigger, whose fires it concerns", name)


def _source(kind: str, own: Mapping[str, Any], options: Options, around: _Around) -> Source:
    match kind:
        case "interval":
            return interval(own, options.start_ms)
        case "cron":
            return WallClock(cron(own), options.zone, options.dst)
        case "calendar_interval":
            return WallClock(calendar_interval(own, options.first_day), options.zone, options.dst)
        case "date":
            return moment_of(own.get("run_date"), "run_date", options.zone, options.dst)
        case "custom":
            return custom(own, around.register)
        case _:
            children = _children(own.get("triggers"), _Around(options.zone.key, options.dst, around.register, (*around.inside, kind)))
            return AnyOf(children) if kind == "or" else AllOf(children)


def _children(specs: object, around: _Around) -> list[BuiltTrigger]:
    if isinstance(specs, list | tuple) and 1 <= len(specs) <= _MAX_TRIGGERS:
        return [_child(spec, ("triggers", index), around) for index, spec in enumerate(specs)]
    example = "[{trigger: cron, args: {hour: 9}}, …]"
    raise TriggerError(f"triggers {specs!r} must be a list of 1 to {_MAX_TRIGGERS} triggers such as {example}", "triggers")


def _child(spec: object, place: tuple[str | int, ...], around: _Around) -> BuiltTrigger:
    if not isinstance(spec, Mapping):
        raise TriggerError(f"{spec!r} must be a trigger such as {{trigger: cron, args: {{hour: 9}}}}", *place)
    for name in spec:
        check_choice("key of a trigger", name, ("trigger", "args"), *place, str(name))
    kind = check_choice("trigger", spec.get("trigger"), KINDS, *place, "trigger")
    if kind in around.inside:
        raise TriggerError(f"{kind!r} inside {kind!r}: write its triggers in the outer list", *place, "trigger")
    try:
        return _build(kind, spec.get("args", {}), around)
    except TriggerError as error:
        raise TriggerError(str(error), *place, "args", *error.key) from None
