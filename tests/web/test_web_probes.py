"""Probes: what they answer when all is well, and which of them speak when something is not."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import redis

from scheduler import __version__
from scheduler.core.clock import monotonic

GETS = ("/", "/livez", "/readyz", "/healthz", "/metrics", "/openapi.json", "/scheduler/status")


def connected(store: Any) -> redis.Redis:
    return redis.Redis(unix_socket_path=store.socket, decode_responses=True)


def test_alive_names_every_loop_and_its_age(instance: Any) -> None:
    answer = instance.http.get("/livez")
    assert (answer.status_code, answer.json()["status"], answer.json()["late"]) == (200, "ok", [])
    loops = answer.json()["loops"]
    assert set(loops) == {"timer", "sweeper", "supervisor", "watchers"}
    assert all(0 <= loop["age_s"] < 15 and not loop["late"] for loop in loops.values())


def test_ready_says_what_was_found(instance: Any) -> None:
    answer = instance.http.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    checks = answer.json()["checks"]
    assert {name: check["ok"] for name, check in checks.items()} == dict.fromkeys(("centre", "store", "leader", "worker"), True)
    assert (checks["leader"]["detail"], checks["worker"]["detail"]) == ("leads", "consumes")


def test_health_tells_all(instance: Any) -> None:
    health = instance.get("/healthz")
    assert (health["status"], health["instance"], health["version"]) == ("ok", instance.center.instance, __version__)
    assert health["uptime_s"] > 0
    assert health["store"]["kind"] == "unix"
    assert 0 < health["store"]["latency_ms"] < 1000
    leader = health["leader"]
    assert (leader["id"], leader["us"], leader["takeover_bound_ms"]) == (instance.center.instance, True, 6500)
    assert leader["epoch"] >= 1
    assert [name.startswith(instance.center.instance) for name in health["workers"]] == [True]
    assert health["runs"].keys() == {"running", "delayed", "finished", "dead"}
    assert (health["broken_tasks"], health["parked_schedules"]) == ({}, {})


@pytest.mark.parametrize("path", GETS)
def test_head_is_get_without_the_body(instance: Any, path: str) -> None:
    head, get = instance.http.head(path), instance.http.get(path)
    assert (head.status_code, head.headers["content-type"]) == (200, get.headers["content-type"])
    assert head.content == b""
    assert get.content


def test_a_task_that_cannot_be_loaded_degrades_but_all_else_goes_on(launch: Callable[..., Any]) -> None:
    one = launch(tasks="tasks: {ghost: {args: {minutes: 1}}}")
    health = one.awaits("/healthz", lambda answer: answer.is_success).json()
    assert health["status"] == "degraded"
    assert "ghost" in health["broken_tasks"]


def test_a_schedule_that_is_parked_degrades(launch: Callable[..., Any]) -> None:
    one = launch()
    with connected(one.store) as client:
        key = f"{one.center.queue.prefix}schedules"
        client.hset(key, "bad", client.hget(key, "hello").replace('"hours"', '"houses"'))
        client.hincrby(f"{one.center.queue.prefix}meta", "generation", 1)
    health = one.awaits("/healthz", lambda answer: "bad" in answer.json()["parked_schedules"]).json()
    assert health["status"] == "degraded"


def test_without_its_store_an_instance_lives_but_is_not_ready(launch: Callable[..., Any]) -> None:
    one = launch()
    one.awaits("/readyz", lambda answer: answer.is_success)
    one.store.kill()
    answer = one.awaits("/readyz", lambda answer: answer.status_code == 503)
    assert answer.json()["checks"]["store"] == {"ok": False, "detail": "does not answer"}
    assert one.http.get("/livez").status_code == 200
    health = one.http.get("/healthz")
    assert (health.status_code, health.json()["status"]) == (503, "degraded")
    assert "start the server" in health.json()["store"]["error"]
    metrics = one.http.get("/metrics")
    assert metrics.status_code == 200
    assert "scheduler_store_up 0.0" in metrics.text
    refused = one.http.post("/scheduler/jobs/hello/pause")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    one.store.start()
    one.awaits("/readyz", lambda answer: answer.is_success)


def test_a_timer_that_stands_still_is_named(launch: Callable[..., Any]) -> None:
    one = launch()
    one.awaits("/readyz", lambda answer: answer.is_success)
    roles = one.center.roles
    clock = roles.pulse._clock
    with roles.timer._jobstores_lock:  # the timer's thread stops at its next round
        roles.pulse._clock = lambda: clock() + 20  # and 20 s go by
        answer = one.awaits("/livez", lambda answer: answer.json()["late"] == ["timer"])
        assert answer.status_code == 503
        assert answer.json()["loops"]["timer"]["late"] is True
    one.awaits("/livez", lambda answer: answer.is_success)


def test_a_standby_is_ready(launch: Callable[..., Any]) -> None:
    first = launch()
    first.awaits("/readyz", lambda answer: answer.is_success)
    second = launch(store=first.store)
    checks = second.awaits("/readyz", lambda answer: answer.is_success).json()["checks"]
    assert checks["leader"]["detail"] == f"stands by for {first.center.instance}"
    assert second.get("/healthz")["leader"]["us"] is False
    assert "scheduler_leader 0.0" in second.http.get("/metrics").text


def test_where_nobody_leads_the_timer_is_not_ready(launch: Callable[..., Any]) -> None:
    one = launch()
    one.awaits("/readyz", lambda answer: answer.is_success)
    with one.center.roles.timer._jobstores_lock, connected(one.store) as client:
        one.center.roles.timer.leader._trusted_until = 0  # as when the lease could not be renewed in time
        client.hset(f"{one.center.queue.prefix}lead", "until", 0)
        answer = one.awaits("/readyz", lambda answer: answer.status_code == 503)
    assert answer.json()["checks"]["leader"] == {"ok": False, "detail": "nobody leads"}


def test_a_worker_must_consume_not_just_be_enrolled(launch: Callable[..., Any]) -> None:
    one = launch(("timer", "worker"))
    one.awaits("/readyz", lambda answer: answer.is_success)
    (worker,) = one.service.supervisor.workers.values()
    os.kill(worker.process.pid, signal.SIGSTOP)
    try:
        with connected(one.store) as client:
            client.zincrby(f"{one.center.queue.prefix}idle", -20_000, worker.name)  # 20 s go by
        answer = one.awaits("/readyz", lambda answer: answer.status_code == 503)
        assert answer.json()["checks"]["worker"] == {"ok": False, "detail": "enrolled, but has not looked for work for 15 s"}
    finally:
        os.kill(worker.process.pid, signal.SIGCONT)
    one.service.supervisor._spawn_at = monotonic() + 3600  # as after several quick deaths
    worker.process.kill()
    one.awaits("/readyz", lambda answer: answer.json()["checks"]["worker"]["detail"] == "none is enrolled")
    one.service.supervisor._spawn_at = 0
    one.awaits("/readyz", lambda answer: answer.is_success)


def test_an_instance_that_ends_is_not_ready(launch: Callable[..., Any]) -> None:
    one = launch()
    one.awaits("/readyz", lambda answer: answer.is_success)
    one.service._stop.set()
    answer = one.http.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["centre"]) == (503, {"ok": False, "detail": "stopping"})
    one.center.roles.audience.stop()  # the watchers hear what ends during the stop, too
    one.awaits("/livez", lambda answer: "watchers" not in answer.json()["loops"])
