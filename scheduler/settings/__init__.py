"""env.yaml and the task files as typed settings; mistakes are told all at once, each with its file, line and column."""

from scheduler.settings.entry import TaskEntry
from scheduler.settings.loader import Settings, load_settings
from scheduler.settings.schema import json_schema

__all__ = ["Settings", "TaskEntry", "json_schema", "load_settings"]
