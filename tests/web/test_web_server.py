"""The server's own life: its address, its start and its end."""

import errno
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from scheduler.center import SchedulerCenter
from scheduler.core.clock import monotonic
from scheduler.core.errors import ConfigError, SchedulerError
from scheduler.observe.metrics import Metrics
from scheduler.web import WebServer, server


def web_on(folder: Path, host: str = "127.0.0.1", port: int = 0) -> WebServer:
    (folder / "env.yaml").write_text(f"web: {{host: '{host}', port: {port}}}\nscheduler: {{tasks: none.yaml}}\n")
    (folder / "none.yaml").write_text("tasks: {}\n")
    return WebServer(SchedulerCenter(folder / "env.yaml"), None, Metrics())


def test_a_taken_port_is_named_with_the_cure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"web.port {port}: another program listens there.*SCHEDULER__WEB__PORT"):
            web_on(tmp_path, port=port).start()


def test_a_host_that_is_not_this_machine(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"web.host 192.0.2.1: cannot listen there \(.+\)"):
        web_on(tmp_path, host="192.0.2.1").start()


def test_a_port_that_needs_rights() -> None:
    assert "1024 or above" in server._cure("127.0.0.1", 80, PermissionError(errno.EACCES, "Permission denied"))


@pytest.mark.parametrize(
    ("bound", "url"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::", "http://[::1]:80"), ("::1", "http://[::1]:80")],  # noqa: S104  # nothing is bound
)
def test_the_url_can_be_opened_on_this_machine(bound: str, url: str) -> None:
    assert server.url_of(bound, 80) == url


def test_a_server_that_does_not_answer_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ANSWER_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(SchedulerError, match="did not answer within"):
        web_on(tmp_path)._await_answer(f"http://127.0.0.1:{silent.getsockname()[1]}")


def test_it_ends_in_time_while_clients_hold_their_connections(tmp_path: Path) -> None:
    web = web_on(tmp_path)
    url = web.start()
    port = int(url.rpartition(":")[2])
    with httpx.Client(base_url=url, trust_env=False) as keeping, socket.create_connection(("127.0.0.1", port)) as half:
        assert keeping.get("/livez").is_success
        half.sendall(b"POST /scheduler/jobs/a/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
        began = monotonic()
        web.stop()
        assert monotonic() - began < server.STOP_S + 0.5
    web.stop()  # harmless
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_an_answer_does_not_wait_for_an_acknowledgement(tmp_path: Path) -> None:
    """Without TCP_NODELAY every answer on a kept connection would take 40 ms."""
    web = web_on(tmp_path)
    with httpx.Client(base_url=web.start(), trust_env=False) as client:
        assert min(client.get("/livez").elapsed.total_seconds() for _ in range(20)) < 0.02
    web.stop()


def test_importing_it_costs_nothing() -> None:
    code = "import sys, scheduler.web; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(server.__file__).parents[2])
    assert {"fastapi", "starlette", "uvicorn", "anyio"} & set(done.stdout.split()) == set()


def test_the_same_address_again_at_once(tmp_path: Path) -> None:
    first = web_on(tmp_path)
    url = first.start()
    first.stop()
    second: Any = web_on(tmp_path, port=int(url.rpartition(":")[2]))
    assert second.start() == url
    second.stop()
