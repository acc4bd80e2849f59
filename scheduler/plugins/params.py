"""Params against the signature of run(), before anything runs: unknown names, missing ones, plain types that do not fit."""

import ast
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Optional, Union

from pydantic import AfterValidator, ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from scheduler.core.nearest import did_you_mean
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
    takes = f"it takes {', '.join(named)}" if named else "it takes none"
    return f"unknown parameter {name!r} of {probe.target}: {takes}{did_you_mean(name, named)}"


def _missing(parameter: Parameter, probe: Probe) -> str:
    if parameter.kind not in _BY_NAME:
        return f"{probe.target} takes {parameter.name!r} by position, but params are given by name: drop the '/' from its signature"
    kind = f" ({parameter.annotation})" if parameter.annotation else ""
    return f"missing parameter {parameter.name!r}{kind}: {probe.target} has no default for it"


def _misfit(parameter: Parameter, value: object) -> str:
    kind = "null" if value is None else type(value).__name__
    return f"parameter {parameter.name!r}: {value!r} is {kind}, allowed is {parameter.annotation}"


def _accepts(parameter: Parameter, value: object) -> bool:
    if value is None and not parameter.required:
        return True  # "limit: int = None" is common, and the default itself is not known here
    try:
        _adapter(parameter.annotation).validate_python(value)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=1024)
def _adapter(annotation: str) -> TypeAdapter[Any]:
    """Holds values against the source text of an annotation; what is not plain JSON is up to the plugin: there everything fits."""
    try:
        return TypeAdapter(_type(ast.parse(annotation, mode="eval").body), config=ConfigDict(strict=True))
    except (SyntaxError, ValueError, TypeError, LookupError, RecursionError, PydanticUserError):  # none, cut short, or absurd
        return TypeAdapter(Any)


def _type(annotation: ast.expr) -> Any:
    match annotation:
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=str(quoted)):
            return _type(ast.parse(quoted, mode="eval").body)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Union[_type(left), _type(right)]  # noqa: UP007 -- made at run time
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _PLAIN.get(name, Any)
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            parts = tuple(inner.elts) if isinstance(inner, ast.Tuple) else (inner,)
            if name == "Literal":
                return _literal([ast.literal_eval(part) for part in parts])
            if name == "Annotated":
                return _type(parts[0])
            types = tuple(map(_type, parts))
            return _GENERIC[name][types if len(types) > 1 else types[0]] if name in _GENERIC else Any
    return Any


def _literal(allowed: list[Any]) -> Any:
    def is_one(value: Any) -> Any:
        if not any(type(each) is type(value) and each == value for each in allowed):  # True is no 1
            raise ValueError
        return value

    return Annotated[Any, AfterValidator(is_one)]


_PLAIN: Mapping[str, Any] = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "List": list, "dict": dict, "Dict": dict}
_GENERIC: Mapping[str, Any] = {"Optional": Optional, "Union": Union, "list": list, "List": list, "dict": dict, "Dict": dict}
