"""The FastAPI application: routes, and one form for every error."""

from typing import TYPE_CHECKING

from fastapi import FastAPI
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from scheduler import __version__
from scheduler.core.errors import StoreError
from scheduler.jobs import JobLookupError
from scheduler.vitals import Vitals
from scheduler.web import jobs, probes
from scheduler.web.guard import Guard
from scheduler.web.problems import problem

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter
    from scheduler.observe.metrics import Metrics


def build_app(center: "SchedulerCenter", vitals: Vitals, metrics: "Metrics", *, loopback: bool) -> FastAPI:
    """``loopback``: nobody but this machine can connect."""
    app = FastAPI(title="Scheduling centre", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_middleware(Guard, loopback=loopback)
    app.include_router(probes.routes(center, vitals, metrics))
    app.include_router(jobs.routes(center))

    @app.get("/", tags=["operation"])
    def index() -> dict[str, dict[str, str]]:
        """What there is here: each method and path, and a sentence about it."""
        return {"paths": {**_described(app), "GET /openapi.json": "All of this for programs."}}

    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(JobLookupError, _unknown)
    app.add_exception_handler(RedisError, _store_away)
    app.add_exception_handler(StoreError, _store_away)
    app.add_exception_handler(RuntimeError, _not_running)
    return app


def _described(app: FastAPI) -> dict[str, str]:
    """``METHOD /path`` → the first line about it."""
    return {
        f"{method.upper()} {path}": about.get("description", "").partition("\n")[0].replace("``", "")
        for path, methods in app.openapi()["paths"].items()
        for method, about in methods.items()
    }


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  # it was registered for that
    detail = f"there is nothing at {request.url.path}" if error.status_code == 404 else error.detail
    return problem(error.status_code, detail, error.headers)


async def _unknown(_: Request, error: Exception) -> JSONResponse:
    return problem(404, str(error))


async def _store_away(_: Request, __: Exception) -> JSONResponse:
    return problem(503, "the store does not answer; /healthz says more", {"Retry-After": "1"})


async def _not_running(_: Request, error: Exception) -> JSONResponse:
    """The seed's error of a centre that was not started; any other RuntimeError is a mistake of ours."""
    if str(error) != "调度器未运行":
        raise error
    return problem(503, str(error), {"Retry-After": "1"})
