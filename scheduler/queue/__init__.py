"""The live state: keys, the function library, RunQueue, the schedules' book, and the readers of events and wake-ups."""

from scheduler.queue.added import AddedTasks
from scheduler.queue.events import EventReader
from scheduler.queue.instances import Instances
from scheduler.queue.runqueue import RunQueue
from scheduler.queue.schedules import ScheduleBook
from scheduler.queue.wake import WakeLine

__all__ = ["AddedTasks", "EventReader", "Instances", "RunQueue", "ScheduleBook", "WakeLine"]
