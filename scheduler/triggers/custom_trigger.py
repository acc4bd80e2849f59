"""For those who write a trigger of their own: what ``trigger: custom`` asks of the class in ``args: {class: "module:Class"}``.

Its constructor gets all other args; what it raises is told with the place in the task file.
"""

from scheduler.core.ports import Trigger

__all__ = ["Trigger"]
