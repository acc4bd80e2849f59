"""HTTP: probes, metrics and the seed's own paths. It sees the centre only through SchedulerCenter and Service."""

from scheduler.web.server import WebServer

__all__ = ["WebServer"]
