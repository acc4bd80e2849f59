"""One centre for the whole process: ``from scheduler.scheduler_center import scheduler_center``, from any module, at no cost."""

import threading
from typing import Any

from scheduler.center import SchedulerCenter

__all__ = ["SchedulerCenter", "scheduler_center"]


class _AtFirstUse(SchedulerCenter):
    """Reads its configuration, as ``SchedulerCenter()`` does, when somebody first uses it; until then importing it does nothing."""

    def __init__(self) -> None:
        self._building = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        """Python asks here for what is not there: all of it, before the first use."""
        if name.startswith("__"):
            raise AttributeError(name)
        with self._building:
            if "_unprobed" not in vars(self):  # what a centre sets last
                super().__init__()
        return object.__getattribute__(self, name)


scheduler_center: SchedulerCenter = _AtFirstUse()
