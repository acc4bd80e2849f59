"""BaseTask, the base class of tasks. Tasks themselves are plugins: modules in the plugin folder."""

from scheduler.tasks.base_task import BaseTask

__all__ = ["BaseTask"]
