"""When things run: from configuration to instants, and back to plain words."""

from scheduler.triggers import misses
from scheduler.triggers.build import build_trigger
from scheduler.triggers.describe import describe
from scheduler.triggers.errors import TriggerError
from scheduler.triggers.trigger import BuiltTrigger, jitter_of, next_fires

__all__ = ["BuiltTrigger", "TriggerError", "build_trigger", "describe", "jitter_of", "misses", "next_fires"]
