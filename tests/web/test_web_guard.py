"""The door: who may enter, what is too big, and how errors look."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Body, FastAPI
from starlette.responses import StreamingResponse

from scheduler.web import WebServer
from scheduler.web.guard import HEADERS, Guard

PROBLEM = "application/problem+json"


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """Every (method, path) there is, from the application's own description."""
    described = [(method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item]
    return [*described, ("GET", "/openapi.json")]


def app_of(instance: Any) -> FastAPI:
    return instance.web._app(loopback=True)


class Outside(WebServer):
    """Behaves as on an address that others can reach, without opening this machine to them."""

    def _app(self, *, loopback: bool) -> FastAPI:
        assert loopback
        return super()._app(loopback=False)


class Extended(WebServer):
    """Has two routes more: one that reads a body, one that has a mistake in it."""

    def _app(self, *, loopback: bool) -> FastAPI:
        app = super()._app(loopback=loopback)

        @app.post("/echo")
        def echo(text: Annotated[str, Body()]) -> int:
            return len(text)

        @app.get("/mistake")
        def mistake() -> None:
            raise RuntimeError("password=hunter2")

        @app.get("/broken-off")
        def broken_off() -> StreamingResponse:
            def parts() -> Iterator[bytes]:
                yield b"half"
                raise RuntimeError("after the answer began")

            return StreamingResponse(parts())

        return app


def client_of(kind: type[WebServer], instance: Any) -> Iterator[httpx.Client]:
    web = kind(instance.center, instance.service, instance.metrics)
    with httpx.Client(base_url=web.start(), trust_env=False) as client:
        yield client
    web.stop()


@pytest.fixture(scope="module")
def outside(instance: Any) -> Iterator[httpx.Client]:
    yield from client_of(Outside, instance)


@pytest.fixture(scope="module")
def extended(instance: Any) -> Iterator[httpx.Client]:
    yield from client_of(Extended, instance)


def test_the_walk_knows_all_routes(instance: Any) -> None:
    found = routes(app_of(instance))
    assert ("POST", "/scheduler/jobs/{job_id}/pause") in found
    assert len(found) >= 8


def test_from_outside_everything_but_the_probes_needs_a_token(instance: Any, outside: httpx.Client) -> None:
    for method, path in routes(app_of(instance)):
        answer = outside.request(method, path)
        if path in {"/livez", "/readyz"}:
            assert answer.status_code == 200
        else:
            assert (path, answer.status_code, answer.headers["content-type"]) == (path, 401, PROBLEM)
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "path", ["/scheduler/status/", "/scheduler//status", "//livez", "/livez/", "/LIVEZ", "/livez%2f..%2fhealthz", "/docs", "/redoc"]
)
def test_other_spellings_open_nothing(outside: httpx.Client, path: str) -> None:
    assert outside.get(path).status_code == 401
    assert outside.head(path).status_code == 401
    assert outside.options(path).status_code == 401


def test_no_page_of_another_origin_changes_anything(instance: Any) -> None:
    host = instance.url.removeprefix("http://")
    foreign = [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:1"},
        {"Origin": "null"},
        {"Origin": "http://[bad"},
        {"Origin": f"http://{host}", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ]
    posts = [path.replace("{job_id}", "hello") for method, path in routes(app_of(instance)) if method != "GET"]
    assert posts
    for path in posts:
        for headers in foreign:
            answer = instance.http.post(path, headers=headers)
            assert (headers, answer.status_code, answer.headers["content-type"]) == (headers, 403, PROBLEM)
    assert instance.http.post("/scheduler/jobs/hello/resume", headers={"Origin": instance.url, "Sec-Fetch-Site": "same-origin"}).is_success


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.1.5:8400", "", "[bad"])
def test_a_name_that_was_bent_to_this_machine_enters_nothing(instance: Any, host: str) -> None:
    for method, path in routes(app_of(instance)):
        answer = instance.http.request(method, path.replace("{job_id}", "hello"), headers={"Host": host})
        open_to_all = path in {"/livez", "/readyz", "/metrics"}
        assert (path, answer.status_code) == (path, 200 if open_to_all else 403)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8400", "127.0.0.2:1", "[::1]:8400"])
def test_names_of_this_machine(instance: Any, host: str) -> None:
    assert instance.http.get("/scheduler/status", headers={"Host": host}).is_success


def test_a_big_body_is_refused_before_anything_happens(instance: Any) -> None:
    answer = instance.http.post("/scheduler/jobs/hello/pause", content=b"x" * (256 * 1024 + 1))
    assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM)
    assert answer.json()["detail"] == "a request body may have at most 256 KB"
    assert {job["id"]: job["next_run_time"] for job in instance.get("/scheduler/status")["jobs"]}["hello"] is not None
    assert instance.http.post("/scheduler/jobs/hello/resume", content=b"x" * 256 * 1024).is_success


def test_a_body_that_does_not_say_its_size_is_counted(extended: httpx.Client) -> None:
    def body(size: int) -> Iterator[bytes]:
        yield b'"'
        for _ in range(size // 1024):
            yield b"x" * 1024
        yield b'"'

    headers = {"Content-Type": "application/json"}
    assert extended.post("/echo", content=body(200 * 1024), headers=headers).json() == 200 * 1024
    answer = extended.post("/echo", content=body(300 * 1024), headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM)


def test_a_mistake_of_ours_shows_a_mark_and_nothing_else(extended: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    answer = extended.get("/mistake")
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    mark = answer.json()["detail"].rpartition(" ")[2]
    (record,) = [record for record in caplog.records if mark in record.getMessage()]
    assert "hunter2" in str(record.exc_info[1])


def test_an_answer_that_breaks_off_is_not_passed_off_as_whole(extended: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        extended.get("/broken-off")
    assert "in GET /broken-off" in caplog.text


def test_what_is_no_http_enters_nothing() -> None:
    async def inner(*_: Any) -> None:
        pytest.fail("it came through")

    asyncio.run(Guard(inner, loopback=True)({"type": "websocket", "path": "/livez"}, inner, inner))


def test_errors_of_the_router_have_the_same_form(instance: Any) -> None:
    missing, wrong = instance.http.get("/nothing/here"), instance.http.get("/scheduler/jobs/hello/pause")
    assert (missing.status_code, missing.headers["content-type"]) == (404, PROBLEM)
    assert missing.json()["detail"] == "there is nothing at /nothing/here"
    assert (wrong.status_code, wrong.headers["content-type"], wrong.headers["allow"]) == (405, PROBLEM, "POST")


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/oauth2-redirect"])
def test_no_page_of_a_foreign_server(instance: Any, path: str) -> None:
    assert instance.http.get(path).status_code == 404


def test_the_root_lists_what_there_is(instance: Any) -> None:
    answer = instance.http.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    paths = answer.json()["paths"]
    assert {"GET /", "GET /livez", "GET /readyz", "GET /healthz", "GET /metrics", "GET /scheduler/status"} <= paths.keys()
    assert "POST /scheduler/jobs/{job_id}/pause" in paths
    assert all(paths.values())


def test_the_description_stays(instance: Any) -> None:
    assert instance.get("/openapi.json")["info"]["title"] == "Scheduling centre"


def test_every_answer_has_the_headers(instance: Any) -> None:
    for answer in (instance.http.get("/livez"), instance.http.get("/nothing"), instance.http.post("/livez", headers={"Origin": "null"})):
        assert HEADERS.items() <= {**{name: answer.headers.get(name) for name in HEADERS}}.items()
        assert "server" not in answer.headers


def test_no_web_socket(instance: Any) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x" * 22, "Sec-WebSocket-Version": "13"}
    assert httpx.get(f"{instance.url}/nothing", headers=upgrade, trust_env=False).status_code == 404
