"""open_store: embedded or remote, checked, with warnings logged and refusals told all at once."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import scheduler
from scheduler.core.clock import sleep
from scheduler.core.errors import StoreError
from scheduler.store import open_store, store
from scheduler.store.embedded import EmbeddedServer

Serve = Callable[..., Any]


def test_embedded_needs_nothing_and_warns_of_nothing(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    opened = open_store("embedded", data_dir, client_name="centre")
    assert opened.server
    assert opened.url == opened.server.url
    assert opened.findings == []
    assert caplog.records == []
    opened.client.set("a", "1")
    worker = opened.client_for("worker 1", max_connections=2, socket_timeout_s=12)
    assert worker.get("a") == "1"
    assert {client["name"] for client in worker.client_list()} == {"centre", "worker-1"}
    opened.close()
    opened.close()
    assert opened.server.pid is None


def test_two_stores_of_one_directory_share_a_server(data_dir: Path) -> None:
    first, second = (open_store("embedded", data_dir, client_name="centre") for _ in range(2))
    first.close()
    assert second.client.ping()
    second.close()
    assert EmbeddedServer(data_dir).pid is None


def test_a_dead_server_is_revived_under_living_clients(data_dir: Path) -> None:
    opened = open_store("embedded", data_dir, client_name="centre")
    opened.client.set("a", "1")
    assert opened.server
    assert opened.server.pid
    os.kill(opened.server.pid, signal.SIGKILL)
    opened.revive()
    assert opened.client.get("a") == "1"
    opened.revive()
    opened.close()


def test_a_remote_server_is_checked_and_its_warnings_are_logged(serve: Serve, data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = serve("--appendonly", "yes")
    with caplog.at_level(logging.WARNING):
        opened = open_store(f"redis://:any@127.0.0.1:{server.port}/1", data_dir, client_name="centre")
    assert [finding.setting for finding in opened.findings] == ["maxmemory", "hash-max-listpack-value"]
    assert f"store redis://:***@127.0.0.1:{server.port}/1: hash-max-listpack-value is 64" in caplog.text
    assert opened.server is None
    assert not data_dir.exists()
    opened.revive()
    opened.close()


def test_every_refusal_is_told_at_once(serve: Serve, data_dir: Path) -> None:
    server = serve("--save", "", "--maxmemory-policy", "allkeys-lru")
    with pytest.raises(StoreError) as caught:
        open_store(server.url, data_dir, client_name="centre")
    first, *rest = str(caught.value).splitlines()
    assert first == f"the store at {server.url} must not be used:"
    assert [line.split(" ")[1] for line in rest] == ["maxmemory-policy", "appendonly"]


def test_a_volatile_server_can_be_accepted(serve: Serve, data_dir: Path) -> None:
    opened = open_store(serve("--save", "").url, data_dir, client_name="centre", allow_volatile=True)
    assert "appendonly" in [finding.setting for finding in opened.findings]
    opened.close()


def test_a_wrong_password_is_told(serve: Serve, data_dir: Path) -> None:
    server = serve("--requirepass", "right")
    with pytest.raises(StoreError, match=r"redis://:\*\*\*@127.0.0.1.*wrong user or password"):
        open_store(f"redis://:wrong@127.0.0.1:{server.port}", data_dir, client_name="centre")


def test_an_embedded_server_that_is_refused_is_not_left_behind(data_dir: Path) -> None:
    other = EmbeddedServer(data_dir)
    other.start()
    opened = open_store("embedded", data_dir, client_name="centre")
    opened.client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(StoreError, match="maxmemory-policy is allkeys-lru"):
        open_store("embedded", data_dir, client_name="centre")
    opened.close()
    assert other.pid
    other.stop()
    assert other.pid is None


@pytest.fixture
def loading(serve: Serve, until: Callable[..., Any]) -> Iterator[Any]:
    """A server that is loading its data, until its ``key-load-delay`` is taken away."""
    server = serve("--appendonly", "yes", "--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024")
    with server.client() as client, server.client() as other:
        client.mset({f"k{number}": number for number in range(5_000)})
        client.config_set("key-load-delay", 500)
        loads = threading.Thread(target=client.execute_command, args=("DEBUG", "RELOAD"))
        loads.start()
        until(lambda: other.info("persistence")["loading"], "the loading")
        yield server
        other.config_set("key-load-delay", 0)
        loads.join()


def test_a_server_that_is_loading_is_waited_for(loading: Any, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = 0

    def let_it_finish(seconds: float) -> None:
        nonlocal waits
        waits += 1
        with loading.client() as client:
            client.config_set("key-load-delay", 0)
        sleep(seconds)

    monkeypatch.setattr(store, "sleep", let_it_finish)
    opened = open_store(loading.url, data_dir, client_name="centre")
    assert waits
    assert opened.client.dbsize() == 5_000
    opened.close()


def test_a_server_that_loads_too_long_is_told(loading: Any, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOADING_LIMIT_S", 0)
    with pytest.raises(StoreError, match="it is still loading its data"):
        open_store(loading.url, data_dir, client_name="centre")


def test_an_interrupt_leaves_no_user_behind(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("redis.Redis.ping", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_store("embedded", data_dir, client_name="centre")
    assert EmbeddedServer(data_dir).pid is None


def test_importing_the_package_does_not_import_redis() -> None:
    code = "import sys, scheduler.store; sys.exit('redis' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(scheduler.__file__).parents[1], check=True)
