"""The store's clock, which alone says what is due, carried forward between two looks at it on the monotonic one."""

from collections.abc import Callable

_TOLERANCE_MS = 1000


class StoreClock:
    """``read`` asks the store for its milliseconds since 1970; ``monotonic`` gives seconds. This machine's wall clock has no say."""

    def __init__(self, read: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._read = read
        self._monotonic = monotonic
        self._offset_ms: float | None = None

    def now_ms(self) -> int:
        """The store's time; the first call must come after a ``sample``."""
        return int(self._monotonic() * 1000 + (self._offset_ms or 0))

    def sample(self) -> int:
        """Ask the store. Returns by how many ms its clock has stepped since the last time: 0 for less than a second."""
        sent = self._monotonic() * 1000
        read = self._read()
        received = self._monotonic() * 1000
        # The answer was true at some moment between sending and receiving, so the true time now lies in this span.
        low, high = read - received, read - sent
        expected = low if self._offset_ms is None else self._offset_ms
        self._offset_ms = min(max(expected, low), high)
        stepped = self._offset_ms - expected
        return round(stepped) if abs(stepped) > _TOLERANCE_MS else 0
