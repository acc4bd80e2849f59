"""The embedded server: adopted, never doubled, stopped by the last user, and clear about why it does not start."""

import os
import re
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from scheduler.core.errors import StoreError
from scheduler.store import embedded
from scheduler.store.connect import connect
from scheduler.store.embedded import EmbeddedServer


def client_of(server: EmbeddedServer) -> redis.Redis:
    return connect(server.url, client_name="test")


def kill(pid: int | None) -> None:
    assert pid
    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def server(data_dir: Path, either: Path) -> EmbeddedServer:
    return EmbeddedServer(data_dir, binary=either)


def test_a_fresh_data_directory_gets_a_durable_server_on_a_private_socket(server: EmbeddedServer, data_dir: Path) -> None:
    url = server.start()
    assert url == f"unix://{data_dir.resolve()}/store/store.sock"
    assert stat.S_IMODE((data_dir / "store").stat().st_mode) == 0o700
    assert not server.adopted
    with client_of(server) as client:
        wanted = {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-value": "4096",
            "hash-max-listpack-entries": "128",
        }
        assert client.config_get(*wanted) == wanted
        assert client.info("server")["process_id"] == server.pid
        assert 0 < int(client.config_get("maxmemory")["maxmemory"]) < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    server.stop()


def test_data_outlives_a_stop(server: EmbeddedServer) -> None:
    server.start()
    with client_of(server) as client:
        client.set("kept", "1")
    server.stop()
    assert server.pid is None
    server.start()
    with client_of(server) as client:
        assert client.get("kept") == "1"
    server.stop()


def test_data_outlives_kill_9_of_the_server_and_the_next_start_finds_no_obstacle(server: EmbeddedServer) -> None:
    server.start()
    killed = server.pid
    with client_of(server) as client:
        for number in range(500):
            client.set(f"k{number}", number)
    kill(killed)
    url = server.start()
    assert server.pid != killed
    assert not server.adopted
    with connect(url, client_name="test") as client:
        assert client.dbsize() == 500
    server.stop()


def test_an_open_client_works_again_after_the_server_was_started_anew(server: EmbeddedServer) -> None:
    server.start()
    with client_of(server) as client:
        client.set("kept", "1")
        kill(server.pid)
        server.start()
        assert client.get("kept") == "1"
    server.stop()


def test_start_twice_is_one_server_and_one_user(server: EmbeddedServer) -> None:
    server.start()
    pid = server.pid
    server.start()
    assert server.pid == pid
    assert not server.adopted
    server.stop()
    assert server.pid is None


def test_stop_without_a_start_and_stop_twice_are_harmless(server: EmbeddedServer) -> None:
    server.stop()
    server.start()
    server.stop()
    server.stop()
    assert server.pid is None


def test_a_second_user_adopts_and_the_first_one_to_leave_leaves_it_running(server: EmbeddedServer, data_dir: Path) -> None:
    server.start()
    second = EmbeddedServer(data_dir)
    second.start()
    assert second.adopted
    assert second.pid == server.pid
    server.stop()
    with client_of(second) as client:
        assert client.ping()
    second.stop()
    assert second.pid is None


def test_kill_9_of_the_starter_leaves_the_server_to_be_adopted(another: Callable[[], Any], data_dir: Path) -> None:
    starter = another()
    _, pid = starter.start()
    with connect(EmbeddedServer(data_dir).url, client_name="test") as client:
        client.set("kept", "1")
    starter.process.kill()
    starter.process.wait()
    heir = EmbeddedServer(data_dir)
    heir.start()
    assert heir.adopted
    assert heir.pid == pid
    with client_of(heir) as client:
        assert client.get("kept") == "1"
    heir.stop()
    assert heir.pid is None


def test_of_two_processes_that_start_at_once_both_end_up_on_one_server(another: Callable[[], Any], data_dir: Path) -> None:
    users = [another(), another()]
    for _ in range(8):
        for user in users:
            user.tell("start")
        (adopted1, pid1), (adopted2, pid2) = [user.started() for user in users]
        assert pid1 == pid2
        assert [adopted1, adopted2].count(True) == 1
        for user in users:
            user.tell("stop")
        assert [user.hear() for user in users] == ["stopped", "stopped"]
        assert EmbeddedServer(data_dir).pid is None  # of two that leave at once, one is the last


def test_start_and_stop_at_once_never_leave_a_user_without_a_server(another: Callable[[], Any], data_dir: Path) -> None:
    first, second = another(), another()
    first.start()
    for _ in range(8):
        first.tell("stop")
        second.tell("start")
        assert first.hear() == "stopped"
        second.started()
        with connect(EmbeddedServer(data_dir).url, client_name="test") as client:
            assert client.ping()
        first, second = second, first
    first.stop()


def test_a_fork_of_a_user_does_not_shut_the_server_down(server: EmbeddedServer) -> None:
    server.start()
    child = os.fork()
    if not child:
        server.stop()
        os._exit(0)
    os.waitpid(child, 0)
    assert server.pid
    server.stop()
    assert server.pid is None


def test_the_server_has_its_own_session_and_none_of_our_secrets(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "hunter2-secret")
    server.start()
    assert server.pid
    assert os.getsid(server.pid) != os.getsid(0)
    assert "SOME_PASSWORD" not in psutil.Process(server.pid).environ()
    server.stop()


def test_a_long_path_gets_a_short_private_socket(directory: Path, either: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = directory / "run"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    deep = directory / ("d" * 60) / ("e" * 60)
    server = EmbeddedServer(deep, binary=either)
    url = server.start()
    assert url.startswith(f"unix://{runtime}/scheduler-")
    monkeypatch.delenv("XDG_RUNTIME_DIR")  # another process may not have it and must find the socket all the same
    second = EmbeddedServer(deep)
    assert second.start() == url
    assert second.adopted
    second.stop()
    server.stop()
    assert server.pid is None


@pytest.mark.parametrize("name", ["two words", 'a "quote" and \\ and \x07', "数据 %20?#@:", os.fsdecode(b"bytes \xff")])
def test_any_path_will_do(directory: Path, either: Path, name: str) -> None:
    server = EmbeddedServer(directory / name, binary=either)
    with connect(server.start(), client_name="test") as client:
        assert client.ping()
    server.stop()
    assert (directory / name / "store" / "appendonlydir").is_dir()


def test_the_log_is_put_aside_when_it_has_grown(server: EmbeddedServer, data_dir: Path) -> None:
    data_dir.mkdir()
    log = data_dir / "valkey.log"
    log.write_bytes(b"x" * (1 << 20) + b"\n")
    server.start()
    server.stop()
    assert log.with_suffix(".log.1").stat().st_size == (1 << 20) + 1
    assert b"xxx" not in log.read_bytes()


def failure(server: EmbeddedServer) -> str:
    with pytest.raises(StoreError) as caught:
        server.start()
    assert server.pid is None
    return str(caught.value)


def test_damaged_data_is_told_with_the_log_and_the_cure(server: EmbeddedServer, data_dir: Path) -> None:
    server.start()
    with client_of(server) as client:
        client.set("kept", "1")
    server.stop()
    damaged = next((data_dir / "store" / "appendonlydir").glob("*.incr.aof"))
    damaged.write_bytes(b"this is no append-only file\r\n" + damaged.read_bytes())
    message = failure(server)
    assert "Bad file format" in message
    assert "Cure: the data is damaged" in message
    assert str(data_dir.resolve()) in message


def test_a_cut_off_end_of_the_data_is_no_obstacle(server: EmbeddedServer, data_dir: Path) -> None:
    server.start()
    with client_of(server) as client:
        client.set("kept", "1")
        client.set("lost", "2")
    kill(server.pid)
    cut = next((data_dir / "store" / "appendonlydir").glob("*.incr.aof"))
    os.truncate(cut, cut.stat().st_size - 3)
    server.start()
    with client_of(server) as client:
        assert client.keys() == ["kept"]
    server.stop()


def test_a_file_in_the_way_of_the_data_is_told(server: EmbeddedServer, data_dir: Path) -> None:
    (data_dir / "store").mkdir(parents=True)
    (data_dir / "store" / "appendonlydir").write_text("")
    assert "Cure: move that file away" in failure(server)


def test_a_data_directory_that_is_a_file_is_told(directory: Path) -> None:
    (directory / "file").write_text("")
    with pytest.raises(StoreError, match=r"file.*not usable.*Cure: move that file away"):
        EmbeddedServer(directory / "file").start()


def test_a_log_that_cannot_be_written_is_told(server: EmbeddedServer, data_dir: Path) -> None:
    (data_dir / "valkey.log").mkdir(parents=True)
    message = failure(server)
    assert "Can't open the log file" in message
    assert "Cure: move that file away" in message


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo the disk says No space left on device; exit 3", "ended with 3: the disk says No space left on device. Cure: free space"),
        ("exit 0", "its server ended during the start. Cure: read the log"),
    ],
)
def test_a_program_that_gives_up_is_told(data_dir: Path, script: str, told: str) -> None:
    program = data_dir.parent / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(StoreError, match=re.escape(told)):
        EmbeddedServer(data_dir, binary=program).start()


def test_a_program_that_cannot_be_run_is_told(data_dir: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        EmbeddedServer(data_dir, binary=Path("/nowhere/valkey-server")).start()


def test_a_server_that_hangs_is_told_with_its_pid(server: EmbeddedServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "START_LIMIT_S", 0.2)
    monkeypatch.setattr(embedded, "STOP_LIMIT_S", 0.2)
    monkeypatch.setattr(embedded, "_ANSWER_LIMIT_S", 0.05)
    server.start()
    pid = server.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreError, match=rf"\(pid {pid}\) does not answer. Cure: look at that process"):
            EmbeddedServer(data_dir).start()
        with pytest.raises(StoreError, match=rf"\(pid {pid}\) does not end"):
            server.stop()
    finally:
        os.kill(pid, signal.SIGCONT)
    server.start()  # the failed stop left no lock behind
    server.stop()


def test_stop_of_a_server_that_is_gone_already(server: EmbeddedServer) -> None:
    server.start()
    kill(server.pid)
    server.stop()
    assert server.pid is None


def test_an_endless_shutdown_by_another_is_told(server: EmbeddedServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STOP_LIMIT_S", -0.9)
    server.start()
    leaving = EmbeddedServer(data_dir)._users
    assert leaving.take(shared=True)
    server._users.release()
    assert leaving.try_last()
    with pytest.raises(StoreError, match="shutting the server down for too long"):
        server.start()
    leaving.release()


def test_a_server_that_loads_much_is_waited_for_beyond_the_limit(
    server: EmbeddedServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.start()
    with client_of(server) as client, client.pipeline(transaction=False) as pipeline:
        for number in range(30_000):
            pipeline.set(f"k{number}", "v" * 20)
        pipeline.execute()
        client.config_set("appendfsync", "no")
    server.stop()
    incremental = next((data_dir / "store" / "appendonlydir").glob("*.incr.aof"))
    incremental.write_bytes(incremental.read_bytes() * 20)
    monkeypatch.setattr(embedded, "START_LIMIT_S", 0.15)
    answers: list[bytes] = []
    ask = EmbeddedServer._ask
    monkeypatch.setattr(EmbeddedServer, "_ask", lambda self, command: answers.append(ask(self, command)) or answers[-1])
    server.start()
    assert any(answer.startswith(b"-LOADING") for answer in answers)
    with client_of(server) as client:
        assert client.dbsize() == 30_000
    server.stop()
