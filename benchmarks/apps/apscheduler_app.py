"""APScheduler alone: `python apscheduler_app.py memory|redis N` fires N schedules of one second, phases spread, every due instant run."""

import os
import signal
import sys
import time
from datetime import UTC, datetime
from typing import Any

import noop
import redis
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.jobstores.redis import RedisJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

ADDED_PER_S = {"memory": 8000, "redis": 1500}  # a careful guess, so that the first instant lies after the last add
fired: dict[int, int] = {}
start_s = 0.0
total = 0


def fire(number: int) -> None:
    """The nominal instant: the schedule's phase, and how often it fired before."""
    before = fired.get(number, 0)
    fired[number] = before + 1
    noop.latency(start_s + number / total + before)


def store(kind: str) -> Any:
    if kind == "memory":
        return MemoryJobStore()
    pool = redis.ConnectionPool.from_url(os.environ["BENCH_URL"])
    return RedisJobStore(connection_pool=pool)


def add_all(scheduler: BackgroundScheduler, jobs: int) -> None:
    options = {"misfire_grace_time": None, "coalesce": False, "max_instances": 100_000}
    for number in range(jobs):
        first = datetime.fromtimestamp(start_s + number / jobs, UTC)
        scheduler.add_job(
            "apscheduler_app:fire", IntervalTrigger(seconds=1, start_date=first, timezone=UTC), args=(number,), id=str(number), **options
        )


def main(kind: str, jobs: int) -> None:
    global start_s, total
    scheduler = BackgroundScheduler(jobstores={"default": store(kind)}, executors={"default": ThreadPoolExecutor(10)}, timezone=UTC)
    scheduler.start(paused=True)
    start_s, total = time.time() + 1 + jobs / ADDED_PER_S[kind], jobs
    add_all(scheduler, jobs)
    scheduler.resume()
    redis.Redis.from_url(os.environ["BENCH_STATS_URL"]).set("armed", repr(start_s))
    signal.pause()


if __name__ == "__main__":
    # Under its own name: that is where a stored job looks its function up.
    import apscheduler_app

    apscheduler_app.main(sys.argv[1], int(sys.argv[2]))
