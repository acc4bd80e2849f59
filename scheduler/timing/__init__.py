"""The clock of schedules: the leader, what is due, and its way into the store as fires."""

from scheduler.timing.leader import Leader
from scheduler.timing.timer import Timer
from scheduler.timing.wiring import Wiring

__all__ = ["Leader", "Timer", "Wiring"]
