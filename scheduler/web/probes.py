"""Probes and metrics: does it live, is it ready, how is it, and the numbers for Prometheus."""

import threading
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.responses import JSONResponse, Response

from scheduler import __version__
from scheduler.observe.metrics import Snapshot
from scheduler.vitals import Look, Vitals

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter
    from scheduler.observe.metrics import Metrics

TAKEOVER_MARGIN_MS = 500  # how late a standby may notice that the lease has ended


def routes(center: "SchedulerCenter", vitals: Vitals, metrics: "Metrics") -> APIRouter:
    router = APIRouter(tags=["operation"])
    updating = threading.Lock()

    @router.get("/livez")
    async def livez() -> JSONResponse:  # on the event loop: a full thread pool must not make it fail
        """200 while every loop of this process goes round, else 503; ``loops``: seconds since each last did. The store plays no part."""
        late = vitals.late()
        loops = {loop: {"age_s": round(age_s, 3), "late": loop in late} for loop, age_s in vitals.loops().items()}
        return JSONResponse({"status": "late" if late else "ok", "late": late, "loops": loops}, 503 if late else 200)

    @router.get("/readyz")
    def readyz() -> JSONResponse:
        """200 when work sent here would be done, else 503: the store answers, somebody leads, a worker of this instance consumes."""
        checks = vitals.checks()
        ready = all(check.ok for check in checks.values())
        found = {name: check._asdict() for name, check in checks.items()}
        return JSONResponse({"status": "ready" if ready else "not ready", "checks": found}, 200 if ready else 503)

    @router.get("/healthz")
    def healthz() -> JSONResponse:
        """Everything; 503 when /livez or /readyz say so. ``status`` is ``degraded`` as soon as anything does not work, be it one task."""
        fit = not vitals.late() and all(check.ok for check in vitals.checks().values())
        return JSONResponse(health(center, vitals, fit=fit), 200 if fit else 503)

    @router.get("/metrics")
    def prometheus() -> Response:
        """The text that Prometheus scrapes. While the store does not answer, ``scheduler_store_up`` is 0 and queues are left out."""
        with updating:
            metrics.update(snapshot(center, vitals))
        return Response(metrics.render(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router


def health(center: "SchedulerCenter", vitals: Vitals, *, fit: bool) -> dict[str, Any]:
    """What /healthz answers."""
    look, roles = vitals.look(), vitals.roles
    timer = roles.timer if roles else None
    broken = center.catalogue.broken if roles else {}
    parked = dict(timer.jobs.parked) if timer else {}
    stats = look.stats.to_dict() if look.stats else {}
    return {
        "status": "ok" if fit and not broken and not parked else "degraded",
        "instance": center.instance,
        "version": __version__,
        "uptime_s": round(vitals.uptime_s, 3),
        "loops": {loop: round(age_s, 3) for loop, age_s in vitals.loops().items()},
        "checks": {name: check._asdict() for name, check in vitals.checks().items()},
        "store": _store(center, look),
        "leader": {
            "id": look.leading.instance,
            "epoch": look.leading.epoch,
            "us": bool(roles and roles.leads),
            "takeover_ms": timer.leader.takeover_ms if timer else 0,
            "takeover_bound_ms": round(center.settings.scheduler.leader_lease.total_seconds() * 1000) + TAKEOVER_MARGIN_MS,
        },
        "workers": {name: seen._asdict() for name, seen in look.workers.items()},
        "queues": stats.get("queues", {}),
        "runs": {name: stats[name] for name in ("running", "delayed", "finished", "dead") if stats},
        "broken_tasks": broken,
        "parked_schedules": parked,
        "warnings": [*center.catalogue.warnings, *map(str, center.store.findings)] if roles else [],
    }


def _store(center: "SchedulerCenter", look: Look) -> dict[str, Any]:
    """``kind``: embedded, or the scheme of redis.url."""
    url = str(center.settings.redis.url)  # masked
    shown = {"kind": url.partition(":")[0], "url": url}
    return {**shown, "error": look.error} if look.error else {**shown, "latency_ms": round(look.latency_ms, 2)}


def snapshot(center: "SchedulerCenter", vitals: Vitals) -> Snapshot:
    """The gauges of this moment."""
    look, roles = vitals.look(), vitals.roles
    timer = roles.timer if roles else None
    queues = look.stats.queues if look.stats else {}
    return Snapshot(
        version=__version__,
        timezone=str(center.settings.scheduler.timezone),
        state=vitals.state,
        jobs_count=len(timer.jobs.jobs) + len(timer.jobs.parked) if timer else 0,
        queues={name: (queue.depth, queue.oldest_wait_ms / 1000) for name, queue in queues.items()},
        workers=len(look.stats.workers) if look.stats else 0,
        leader=bool(roles and roles.leads),
        store_up=not look.error,
        takeover_s=timer.leader.takeover_ms / 1000 if timer else 0.0,
    )
