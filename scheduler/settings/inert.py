"""Keys that are accepted, so that files of later versions load, and do nothing yet: whoever relies on one must hear of it."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from scheduler.settings.nodes import Node, Problem
from scheduler.settings.problems import find

OF_A_TASK = ("depends_on", "sla", "on_failure", "on_success", "on_recovery", "on_remove")
OF_ENV = (
    ("history",),
    ("ingest",),
    ("notify",),
    ("web", "auth", "mode"),  # validated: none is refused where others could connect
    ("monitoring", "stats_interval"),
    ("monitoring", "health_check_interval"),
    ("monitoring", "alert_thresholds", "failure_rate"),
    ("monitoring", "alert_thresholds", "avg_duration"),
)


def inert_in_env(tree: Node, env: BaseModel, usual: BaseModel) -> Iterator[str]:
    """A warning for each such key that says something else than ``usual``, the defaults: the shipped env.yaml shows all of them."""
    for path in OF_ENV:
        found = find(tree, path)
        if found.all and _at(env, path) != _at(usual, path):
            yield _warning(tree, path)


def inert_in_tasks(tree: Node, data: Mapping[str, Any]) -> Iterator[str]:
    """A warning for each such key of a task file, in ``defaults`` or in a task."""
    places = [("defaults",), *(("tasks", name) for name in data.get("tasks") or {})]
    for place in places:
        for key in OF_A_TASK:
            if find(tree, (*place, key)).all:
                yield _warning(tree, (*place, key))


def _warning(tree: Node, path: tuple[str, ...]) -> str:
    found = find(tree, path)
    return str(Problem(found.key, f"{found.path} is accepted, and does nothing yet"))


def _at(model: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        model = getattr(model, name)
    return model
