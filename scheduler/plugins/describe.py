"""What a plugin exposes, in words that survive a trip through JSON: its kind, its signature, what its decorators say."""

import inspect
import sys
from collections.abc import Callable
from typing import Any

from scheduler.core.marks import marks_of, unmarked

_MAX_TEXT = 200  # enough for a list on a screen; a plugin must not flood the store with its doc


def describe(exposed: Callable[..., Any]) -> dict[str, Any]:
    """``kind`` function | async | class, ``signature``, ``marks``, ``doc`` and ``file`` of what a plugin exposes."""
    inner = unmarked(exposed)
    is_class = inspect.isclass(inner)
    execute = getattr(inner, "execute") if is_class else inner  # noqa: B009 -- a plain attribute would need a cast
    function = unmarked(execute)
    module = sys.modules.get(getattr(inner, "__module__", ""))
    doc = inspect.getdoc(inner) or inspect.getdoc(module) or ""
    return {
        "kind": "async" if inspect.iscoroutinefunction(function) else "class" if is_class else "function",
        "signature": _signature(function)[is_class:],
        "marks": {**marks_of(execute), **marks_of(exposed)},
        "doc": doc.strip().partition("\n")[0][:_MAX_TEXT],
        "file": getattr(module, "__file__", None) or "",
    }


def _signature(function: Callable[..., Any]) -> list[dict[str, Any]]:
    try:
        return [_parameter(parameter) for parameter in inspect.signature(function).parameters.values()]
    except ValueError:  # written in C without a signature: it takes what it takes
        return [{"name": "kwargs", "kind": "var_keyword", "required": False, "annotation": ""}]


def _parameter(parameter: inspect.Parameter) -> dict[str, Any]:
    kind, annotation = parameter.kind.name.lower(), parameter.annotation
    text = "" if annotation is parameter.empty else annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    required = parameter.default is parameter.empty and not kind.startswith("var_")
    return {"name": parameter.name, "kind": kind, "required": required, "annotation": text[:_MAX_TEXT]}


def as_text(value: object) -> str:
    """For ``json.dumps(default=…)``: an exception class by its name, everything else as text."""
    return value.__name__ if inspect.isclass(value) else str(value)
