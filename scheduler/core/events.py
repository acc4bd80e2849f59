"""Events: one line of the story of a Run or a Schedule, written in the same atomic step as the change it tells of."""

from typing import NamedTuple


class Event(NamedTuple):  # a tuple: tens of thousands of them are made in a second
    """One change. ``type`` is a state name, or ``retired``, ``progress``, ``missed``, ``skipped``, ``paused``, ``resumed``.

    ``at`` is the stream's own position (``<ms>-<n>/<i>``), total in order; ``ms`` the store's time; ``detail`` JSON text or ''.
    """

    at: str
    ms: int
    type: str
    subject: str  # the Run's id, or the Schedule's name
    task: str
    token: int
    worker: str
    reason: str
    duration_ms: float
    detail: str
