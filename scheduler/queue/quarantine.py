"""Foreign data in the place of our keys is moved aside, and the indexes are rebuilt from the Runs' own records."""

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from scheduler.queue.keys import kind_of

_CHUNK = 200
_log = logging.getLogger(__name__)


def quarantine(client: Any, prefix: str, call: Callable[..., Any]) -> list[str]:
    """Names of the keys that held another type than they should; they are now ``bad:<name>``, for a week.

    A Run whose own record was overwritten is lost; every other one regains its place. A worker whose keys were is fenced.
    """
    moved: list[str] = []
    for chunk in _chunks(_names(client, prefix, "*")):
        moved += call("quarantine", *(word for name in chunk if (kind := kind_of(name)) not in ("", "any") for word in (name, kind)))
    if not moved:
        return moved
    _log.error("foreign data stood where keys of the centre belong; moved to %sbad: for a week: %s", prefix, ", ".join(moved))
    for worker in sorted({name.partition(":")[2] for name in moved if name.startswith(("w:", "knows:"))}):
        call("abandon", worker)
    for chunk in _chunks(_names(client, prefix, "r:*")):
        call("repair", *(name.partition(":")[2] for name in chunk))
    return moved


def _names(client: Any, prefix: str, pattern: str) -> Iterator[str]:
    keys = client.scan_iter(f"{prefix}{pattern}", count=1000)
    return (key.removeprefix(prefix) for key in keys)


def _chunks(names: Iterable[str]) -> Iterator[list[str]]:
    names = iter(names)
    while chunk := list(islice(names, _CHUNK)):
        yield chunk
