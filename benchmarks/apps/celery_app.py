"""Celery without results, events, rate limits and remote control."""

import os

import noop
from celery import Celery

URL = os.environ["BENCH_URL"]

app = Celery("bench", broker=URL.replace("unix://", "redis+socket://"))
app.conf.update(
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    task_send_sent_event=False,
    task_default_queue="q",
    worker_prefetch_multiplier=1000,
    worker_disable_rate_limits=True,
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="tick", ignore_result=True)
def tick() -> None:
    noop.tick()


@app.task(name="late", ignore_result=True)
def late(sent: float) -> None:
    noop.latency(sent)


def one(number: int) -> None:
    for _ in range(number):
        tick.delay()


def bulk(number: int) -> None:
    """It publishes one by one whatever we do; the most it offers is to keep one producer open."""
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(number):
            tick.apply_async((), producer=producer)


def latency(sent: float) -> None:
    late.delay(sent)
