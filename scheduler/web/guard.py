"""Guard: the one door that every request passes; it decides who may enter, and what leaves."""

import logging
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.core.ids import new_id
from scheduler.web.problems import problem

MAX_BODY = 256 * 1024  # bytes
TOO_LARGE = f"a request body may have at most {MAX_BODY // 1024} KB"
SAFE = {"GET", "HEAD", "OPTIONS"}
PROBES = {"/livez", "/readyz"}
OPEN = PROBES | {"/metrics"}  # on a loopback address, whatever name the request gives to this host
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
log = logging.getLogger("scheduler.web")


class Guard:
    """ASGI middleware. ``loopback``: only this machine can connect, so a request needs no token; otherwise all but the probes is closed."""

    def __init__(self, app: ASGIApp, *, loopback: bool) -> None:
        self._app = app
        self._loopback = loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = _Exchange(receive, send)
        refusal = self._refusal(scope["method"], scope["path"], Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, exchange.send)
            return
        if scope["method"] == "HEAD":  # uvicorn leaves the body out
            scope = {**scope, "method": "GET"}
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception:
            mark = new_id()
            log.exception("error %s in %s %s", mark, scope["method"], scope["path"])
            if exchange.answered:
                raise
            await problem(500, f"a mistake of the scheduler's own; its log says more under {mark}")(scope, receive, exchange.send)

    def _refusal(self, method: str, path: str, headers: Headers) -> Response | None:
        """Deny by default: what is not allowed here reaches no route."""
        host = headers.get("host", "")
        if not self._loopback and path not in PROBES:
            return problem(401, "this needs a token", {"WWW-Authenticate": "Bearer"})
        if self._loopback and path not in OPEN and not _is_loopback(host):
            return problem(403, f"the host {host!r} is not this machine: use 127.0.0.1 or localhost")  # DNS rebinding
        if method not in SAFE and not _same_origin(headers, host):
            return problem(403, "a page of another origin may not do this")
        size = headers.get("content-length", "0")
        if not size.isdecimal() or int(size) > MAX_BODY:
            return problem(413, TOO_LARGE, {"Connection": "close"})
        return None


def _is_loopback(host: str) -> bool:
    """Whether a Host header names this very machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _same_origin(headers: Headers, host: str) -> bool:
    """Browsers say where a POST comes from; other programs say nothing."""
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = headers.get("origin")
    return origin is None or origin.lower().partition("://")[2] == host.lower()


class _Exchange:
    """One request's body, counted, and its answer, with the headers that every answer has."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._size = 0
        self.answered = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > MAX_BODY:
            raise HTTPException(413, TOO_LARGE)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.answered = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)
