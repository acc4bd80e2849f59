"""What a loaded plugin looks like from outside, as plain JSON: how it is called, its parameters, its marks, its first doc line."""

import inspect
import sys
from collections.abc import Callable
from typing import Any

from scheduler.core.marks import marks_of, unmarked

_MAX_TEXT = 200  # enough for a list on a screen; a plugin must not flood the store with its doc


def describe(exposed: Callable[..., Any]) -> dict[str, Any]:
    """``kind`` function | async | class, ``signature``, ``marks``, ``doc`` and ``file`` of what a plugin exposes."""
    inner = unmarked(exposed)
    execute = getattr(inner, "execute") if inspect.isclass(inner) else inner  # noqa: B009 -- a plain attribute would need a cast
    function = unmarked(execute)
    module = sys.modules.get(getattr(inner, "__module__", ""))
    return {
        "kind": _kind(inner, function),
        "signature": _signature(function)[inspect.isclass(inner) :],
        "marks": {**marks_of(execute), **marks_of(exposed)},
        "doc": _first_line(inspect.getdoc(inner) or inspect.getdoc(module)),
        "file": getattr(module, "__file__", None) or "",
    }


def plain(value: object) -> str:
    """For ``json.dumps(default=…)``: an exception class by its name, everything else as text."""
    return value.__name__ if inspect.isclass(value) else str(value)


def _kind(inner: object, function: object) -> str:
    if inspect.iscoroutinefunction(function):
        return "async"
    return "class" if inspect.isclass(inner) else "function"


def _signature(function: Callable[..., Any]) -> list[dict[str, Any]]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C without a signature: it takes what it takes
        return [{"name": "kwargs", "kind": "var_keyword", "required": False, "annotation": ""}]
    return [_parameter(parameter) for parameter in parameters]


def _parameter(parameter: inspect.Parameter) -> dict[str, Any]:
    kind = parameter.kind.name.lower()
    return {
        "name": parameter.name,
        "kind": kind,
        "required": parameter.default is parameter.empty and not kind.startswith("var_"),
        "annotation": _annotation(parameter.annotation),
    }


def _annotation(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    return (annotation if isinstance(annotation, str) else inspect.formatannotation(annotation))[:_MAX_TEXT]


def _first_line(doc: str | None) -> str:
    return doc.strip().partition("\n")[0][:_MAX_TEXT] if doc else ""
