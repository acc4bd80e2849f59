"""WakeLine: a blocking pop that can be waited for together with other things (select), so one thread serves network and slots."""

from typing import Any

from scheduler.core.clock import monotonic

_LATE_S = 1.0  # an answer that is overdue for so long will not come: the peer vanished without a word


class WakeLine:
    """Waits on one list of Redis over a connection of its own. Connection errors are raised; the line reconnects at the next ``arm``."""

    def __init__(self, client: Any, key: str) -> None:
        self._client = client
        self._key = key
        self._connection: Any = None
        self._armed = False
        self._answer_by = 0.0

    def arm(self, timeout_s: int) -> None:
        """Send the blocking pop, unless one is under way whose answer may still come."""
        if self._armed and monotonic() < self._answer_by:
            return
        if self._armed:
            self.close()
        if self._connection is None:
            self._connection = self._client.connection_pool.get_connection()
        try:
            self._connection.send_command("BLPOP", self._key, timeout_s)
        except BaseException:
            self.close()
            raise
        self._armed, self._answer_by = True, monotonic() + timeout_s + _LATE_S

    def fileno(self) -> int:
        """The socket to select on while armed."""
        return int(self._connection._sock.fileno())  # noqa: SLF001  # redis-py offers no other way to wait on a reply

    def read(self) -> str | None:
        """The payload that woke us, or None when the pop timed out."""
        try:
            reply = self._connection.read_response()
        except BaseException:
            self.close()
            raise
        self._armed = False
        return reply[1] if reply else None

    def close(self) -> None:
        """Drop the connection; a wake-up on its way is not lost, it stays in the list unless it was already sent."""
        if self._connection is not None:
            self._connection.disconnect()
            self._client.connection_pool.release(self._connection)
        self._connection, self._armed = None, False
