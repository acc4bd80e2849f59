"""WebServer: uvicorn in a thread of this process, on the address of ``web`` in env.yaml."""

import errno
import http.client
import socket
import threading
from contextlib import ExitStack
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scheduler.core.errors import ConfigError, SchedulerError
from scheduler.vitals import Vitals

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from scheduler.center import SchedulerCenter
    from scheduler.observe.metrics import Metrics
    from scheduler.service import Service

ANSWER_S = 10.0
GRACE_S = 1  # for requests under way when it stops
STOP_S = 2.0
BACKLOG = 128


class WebServer:
    """``start`` once the service has started, ``stop`` after it has ended. FastAPI and uvicorn (0.3 s) are imported by ``start``."""

    def __init__(self, center: "SchedulerCenter", service: "Service | None", metrics: "Metrics") -> None:
        self._center = center
        self._metrics = metrics
        self._vitals = Vitals(center, service)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Listen, and return the URL once it answers. ConfigError when the address cannot be had."""
        web = self._center.settings.web
        listener = listen(web.host, web.port)
        host, port = listener.getsockname()[:2]
        self._server = _serving(self._app(loopback=ip_address(host).is_loopback))
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="web", daemon=True)
        self._thread.start()
        url = url_of(host, port)
        self._await_answer(url)
        return url

    def stop(self) -> None:
        """Answer what is under way and end, within STOP_S. Harmless when it was not started."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(STOP_S - 0.3)
        self._server.force_exit = True
        self._thread.join(0.3)
        self._thread = None

    def _app(self, *, loopback: bool) -> "FastAPI":
        from scheduler.web.app import build_app

        return build_app(self._center, self._vitals, self._metrics, loopback=loopback)

    def _await_answer(self, url: str) -> None:
        """The socket takes connections already; the first answer shows that the loop runs."""
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_S)
        try:
            connection.request("GET", "/livez")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException) as error:
            self.stop()
            raise SchedulerError(f"the web server at {url} did not answer within {ANSWER_S:g} s: {error}") from error
        finally:
            connection.close()


def _serving(app: "FastAPI") -> "uvicorn.Server":
    """Plain asyncio and h11: what is faster costs more to import than so few requests can gain."""
    import uvicorn

    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    return uvicorn.Server(config)


def url_of(host: str, port: int) -> str:
    """Where this machine reaches a server that is bound to ``host`` (an IP address)."""
    if ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; ConfigError says which setting is wrong and the cure."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Not create_server: asyncio sets TCP_NODELAY only where the protocol is named, and without it an answer takes 44 ms, not 1.
        with ExitStack() as on_error:
            listener = on_error.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
            on_error.pop_all()
    except OSError as error:
        raise ConfigError([_cure(host, port, error)]) from error
    return listener


def _cure(host: str, port: int, error: OSError) -> str:
    other = "choose another with web: {port: …} in env.yaml or SCHEDULER__WEB__PORT (0 takes a free one)"
    if error.errno == errno.EADDRINUSE:
        return f"web.port {port}: another program listens there on {host}; stop it, or {other}"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"web.port {port}: this user may not listen there; {other}, 1024 or above"
    return f"web.host {host}: cannot listen there ({error.strerror or error}); use 127.0.0.1, or an address of this machine"
