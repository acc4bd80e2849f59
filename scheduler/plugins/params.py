"""Params against the signature of run(), before anything runs: unknown names, missing ones, plain types that do not fit."""

import ast
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from scheduler.plugins.probe import Parameter, Probe

_BY_NAME = ("positional_or_keyword", "keyword_only")


def check_params(probe: Probe, params: Mapping[str, Any], *, complete: bool = True) -> list[str]:
    """What is wrong with ``params`` for this plugin, one sentence each; [] when they fit, or when the plugin is broken anyway.

    Not ``complete``: more will be given when a Run is submitted, so nothing is missing yet.
    """
    if not probe.ok:
        return []
    named = {parameter.name: parameter for parameter in probe.signature if parameter.kind in _BY_NAME}
    takes_any = any(parameter.kind == "var_keyword" for parameter in probe.signature)
    problems = [] if takes_any else [_unknown(name, named, probe) for name in params if name not in named]
    if complete:
        problems += [_missing(parameter, probe) for parameter in probe.signature if parameter.required and parameter.name not in params]
    problems += [_misfit(named[name], value) for name, value in params.items() if name in named and not _accepts(named[name], value)]
    return problems


def _unknown(name: str, named: Mapping[str, Parameter], probe: Probe) -> str:
    nearest = "".join(f"; did you mean {known!r}?" for known in get_close_matches(name, named, 1))
    takes = f"it takes {', '.join(named)}" if named else "it takes none"
    return f"unknown parameter {name!r} of {probe.target}: {takes}{nearest}"


def _missing(parameter: Parameter, probe: Probe) -> str:
    if parameter.kind not in _BY_NAME:
        return f"{probe.target} takes {parameter.name!r} by position, but params are given by name: drop the '/' from its signature"
    kind = f" ({parameter.annotation})" if parameter.annotation else ""
    return f"missing parameter {parameter.name!r}{kind}: {probe.target} has no default for it"


def _misfit(parameter: Parameter, value: object) -> str:
    return f"parameter {parameter.name!r}: {value!r} is {_json_type(value)}, allowed is {parameter.annotation}"


def _json_type(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _accepts(parameter: Parameter, value: object) -> bool:
    if value is None and not parameter.required:
        return True  # "limit: int = None" is common, and the default itself is not known here
    try:
        return _fits(ast.parse(parameter.annotation, mode="eval").body, value)
    except (SyntaxError, ValueError, RecursionError):  # none, cut short, or absurd: nothing to hold the value against
        return True


def _fits(annotation: ast.expr, value: object) -> bool:
    """Whether ``value`` may be what ``annotation`` says. What is not plain JSON is up to the plugin: it fits."""
    match annotation:
        case ast.Constant(value=None):
            return value is None
        case ast.Constant(value=str(quoted)):
            return _fits(ast.parse(quoted, mode="eval").body, value)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _fits(left, value) or _fits(right, value)
        case ast.Subscript(value=outer, slice=inner):
            return _fits_generic(_name(outer), inner, value)
        case _:
            return _PLAIN.get(_name(annotation), _anything)(value)


def _fits_generic(outer: str, inner: ast.expr, value: object) -> bool:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    match outer:
        case "Optional":
            return value is None or _fits(inner, value)
        case "Union":
            return any(_fits(part, value) for part in parts)
        case "Literal":
            return any(_is_literal(part, value) for part in parts)
        case "Annotated":
            return _fits(parts[0], value)
        case "list" | "List":
            return isinstance(value, list) and all(_fits(inner, item) for item in value)
        case "dict" | "Dict":
            return isinstance(value, dict) and all(_fits(parts[-1], item) for item in value.values())
    return True


def _is_literal(part: ast.expr, value: object) -> bool:
    try:
        literal = ast.literal_eval(part)
    except ValueError:  # the member of an enum
        return True
    return bool(literal == value) and type(literal) is type(value)  # True is no 1


def _name(annotation: ast.expr) -> str:
    match annotation:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _anything(_: object) -> bool:
    return True


_PLAIN: Mapping[str, Callable[[object], bool]] = {
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "List": lambda value: isinstance(value, list),
    "dict": lambda value: isinstance(value, dict),
    "Dict": lambda value: isinstance(value, dict),
}
