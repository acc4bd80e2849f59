"""Checks of ``depends_on`` over all task files: every name is a task, and no task waits for itself."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple, Self

from scheduler.settings.fields import names
from scheduler.settings.nearest import did_you_mean
from scheduler.settings.nodes import Node, Place, Problem
from scheduler.settings.problems import find


class Needs(NamedTuple):
    """A task as it stands in its file, and the tasks it waits for."""

    place: Place
    node: Node
    depends_on: tuple[str, ...]

    @classmethod
    def of(cls, place: Place, node: Node, data: Any) -> Self:
        """From the task's data as written, right or wrong."""
        upstream = names(data.get("depends_on")) if isinstance(data, dict) else ()
        return cls(place, node, tuple(name for name in upstream if isinstance(name, str)) if isinstance(upstream, tuple) else ())


def check_dependencies(tasks: Mapping[str, Needs], problems: list[Problem]) -> None:
    for task, needs in tasks.items():
        for number, name in enumerate(needs.depends_on):
            if name not in tasks:
                message = f'tasks.{task}.depends_on: "{name}" is no task{did_you_mean(name, tasks)}'
                problems.append(Problem(_place(needs, number), message))
    try:
        TopologicalSorter({task: needs.depends_on for task, needs in tasks.items()}).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        message = f"tasks.{cycle[0]}.depends_on: these tasks wait for each other: {' → '.join(reversed(cycle))}"
        problems.append(Problem(_place(tasks[cycle[0]], 0), message))


def _place(needs: Needs, number: int) -> Place:
    return find(needs.node, ("depends_on", number), needs.place).place
