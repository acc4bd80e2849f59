"""The scheduling centre: its producer, and its service with the roles and watchers that `run.py` gives it."""

import os
import sys
import time

import redis

from scheduler import SchedulerCenter
from scheduler.core.task import Schedule
from scheduler.observe.metrics import Metrics
from scheduler.service import Service

center = SchedulerCenter(f"{os.environ['BENCH_FOLDER']}/env.yaml")


def one(number: int) -> None:
    for _ in range(number):
        center.submit("tick")


def bulk(number: int) -> None:
    for start in range(0, number, 1000):
        center.submit_many(["tick"] * min(1000, number - start))


def latency(sent: float) -> None:
    center.submit("late", {"sent": sent})


def serve() -> int:
    service = Service(center, ("timer", "worker"), [Metrics()])
    service.start()
    return service.run()


def fires(number: int) -> int:
    """As many schedules of one second, their phases spread over it."""
    service = Service(center, ("timer", "worker"), [Metrics()])
    service.start()
    start = int(time.time()) + 3 + number // 2000
    center.add_schedules([_schedule(i, start + i / number) for i in range(number)])
    redis.Redis.from_url(os.environ["BENCH_STATS_URL"]).set("armed", start)
    return service.run()


def _schedule(number: int, start: float) -> Schedule:
    first = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(start)) + f".{round(start % 1 * 1000):03d}"
    return Schedule(
        name=f"s{number}", task="fired", trigger="interval", args={"seconds": 1, "start_date": first}, max_instances=1_000_000, source="api"
    )


if __name__ == "__main__":
    sys.exit(serve() if sys.argv[1] == "serve" else fires(int(sys.argv[2])))
