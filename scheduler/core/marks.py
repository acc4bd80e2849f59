"""Marks: what a decorator on ``run`` says of its policy. A decorator marks, the loader collects, the centre wires.

A marked function also works alone, through the wrapper the decorator returns; inside the centre the loader calls the
innermost function instead, and the machinery (claim, slot, ``decide``) does what the wrappers would have done.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

_MARKS = "__scheduler_marks__"
_OWNER = "__scheduler_wrapper__"  # functools.wraps copies attributes to foreign wrappers too: only ours name themselves


def mark(wrapper: Callable[..., Any], inner: Callable[..., Any], **policy: Any) -> None:
    """Record ``policy`` (keys as in the task YAML) on ``wrapper``, together with what ``inner`` already carries."""
    setattr(wrapper, _MARKS, {**marks_of(inner), **policy})
    setattr(wrapper, _OWNER, id(wrapper))  # not the wrapper itself: a cycle would keep its connections open until somebody collects it


def marks_of(func: Callable[..., Any]) -> Mapping[str, Any]:
    """The policy marked on ``func`` by all its decorators; the outer one wins."""
    return dict(getattr(func, _MARKS, {}))


def unmarked(func: Callable[..., Any]) -> Callable[..., Any]:
    """The user's own function under our decorators; wrappers that are not ours stay."""
    own: Callable[..., Any] = inspect.unwrap(func, stop=lambda each: getattr(each, _OWNER, None) != id(each))
    return own
