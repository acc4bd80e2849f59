"""What must change in the store so that YAML's schedules there are those of the configuration."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from scheduler.core.task import Schedule


class Changes(NamedTuple):
    """Names of the schedules, sorted."""

    added: list[str]
    changed: list[str]
    removed: list[str]

    def lines(self) -> Iterator[str]:
        """As people read it: ``+ added``, ``~ changed``, ``- removed``, a line for each schedule."""
        for sign, names in zip("+~-", self, strict=True):
            yield from (f"{sign} {name}" for name in names)


def compare(known: Mapping[str, Schedule], wanted: Sequence[Schedule]) -> Changes:
    """``known`` is what the store has. Schedules made over the API stay, unless the configuration has one of the same name."""
    names = {schedule.name for schedule in wanted}
    return Changes(
        sorted(names - known.keys()),
        sorted(schedule.name for schedule in wanted if schedule.name in known and known[schedule.name] != schedule),
        sorted(name for name, schedule in known.items() if schedule.source == "yaml" and name not in names),
    )
