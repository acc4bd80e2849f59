"""The bodies that every measured Python system runs."""

from noop import latency
from noop import tick as count

from scheduler import current_run


def tick() -> None:
    count()


def late(sent: float) -> None:
    latency(sent)


def fired() -> None:
    instant = current_run().scheduled_at
    if instant is not None:
        latency(instant.timestamp())
