"""Reading the event stream: what happened, in order, as Event values."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from scheduler.core.events import Event

_log = logging.getLogger(__name__)


class EventReader:
    """Follows the stream from a position on; ``read`` blocks for at most ``block_ms`` and returns what has come."""

    def __init__(self, client: Any, prefix: str, *, start: str = "$", count: int = 200) -> None:
        self._client = client
        self._key = f"{prefix}ev"
        self._count = count
        self.position = start
        self.behind = False  # the last read was as long as a read can be: there is more

    def read(self, block_ms: int | None = None) -> list[Event]:
        """Entries after the last position; [] when there are none within ``block_ms`` (None: do not wait)."""
        if self.position == "$":
            self.position = self._newest()
        reply = self._client.xread({self._key: self.position}, count=self._count, block=block_ms)
        if not reply:
            self.behind = False
            return []
        entries = reply[self._key][0] if isinstance(reply, dict) else reply[0][1]
        events: list[Event] = []
        for entry_id, fields in entries:
            events.extend(parse_entry(entry_id, fields))
        self.position = entries[-1][0]
        self.behind = len(entries) == self._count
        return events

    def _newest(self) -> str:
        newest = self._client.xrevrange(self._key, count=1)
        return str(newest[0][0]) if newest else "0-0"


def parse_entry(entry_id: str, fields: Mapping[str, str]) -> Iterator[Event]:
    """One stream entry holds the changes of one atomic step, a line each: type, tab-separated facts, JSON detail last.

    A line that is none of ours is passed over, so that foreign data cannot stop a reader.
    """
    ms = int(entry_id.partition("-")[0])
    for number, line in enumerate(fields.get("e", "").split("\n")):
        try:
            kind, subject, task, token, worker, reason, duration, detail = line.split("\t", 7)
            yield Event(f"{entry_id}/{number}", ms, kind, subject, task, int(token), worker, reason, float(duration), detail)
        except ValueError:
            _log.warning("event %s/%d is no event of ours and is passed over: %.200r", entry_id, number, line)
