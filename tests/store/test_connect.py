"""Clients of every kind of address on real servers, and the reading of every error that a start can meet."""

import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from redis._parsers import _HiredisParser

from scheduler.core.errors import StoreError
from scheduler.store.binary import find_server
from scheduler.store.checks import check_server
from scheduler.store.connect import connect, read_error

Serve = Callable[..., Any]
Listen = Callable[[Callable[[socket.socket], None]], int]


def told(url: str, *, timeout_s: float = 5.0, command: str = "PING") -> str:
    """What a user of ``url`` is told."""
    client = connect(url, client_name="test", socket_timeout_s=timeout_s)
    with client, pytest.raises(Exception) as caught:  # noqa: PT011 - whatever redis-py raises is to be read
        client.execute_command(command)
    return str(read_error(caught.value, url))


def test_a_tcp_client(serve: Serve) -> None:
    server = serve()
    with connect(f"{server.url}/3", client_name="the 调度 centre") as client:
        client.set("a", "é")
        assert client.get("a") == "é"
        me = client.client_info()
        assert (me["name"], me["db"]) == ("the-centre", 3)
    with connect(f"{server.url}/3", client_name="raw", decode_responses=False) as client:
        assert client.get("a") == "é".encode()


def test_it_parses_with_hiredis_replays_nothing_and_probes_nothing(serve: Serve) -> None:
    with connect(serve().url, client_name="test") as client:
        connection = client.connection_pool.get_connection()
        assert isinstance(connection._parser, _HiredisParser)
        assert connection.retry.get_retries() == 0
        assert connection.health_check_interval == 0
        assert connection._sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert connection._sock.gettimeout() == 5.0
        client.connection_pool.release(connection)


def test_a_lost_reply_is_an_error_and_not_a_second_try(listen: Listen) -> None:
    heard: list[bytes] = []

    def lose_replies(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"%1\r\n$5\r\nproto\r\n:3\r\n")
        connection.recv(1000)
        connection.sendall(b"+OK\r\n")
        heard.append(connection.recv(1000))

    with connect(f"redis://127.0.0.1:{listen(lose_replies)}", client_name="test") as client, pytest.raises(redis.ConnectionError):
        client.incr("a")
    assert len(heard) == 1


def test_bytes_of_a_foreign_writer_do_not_raise(serve: Serve) -> None:
    server = serve()
    with connect(server.url, client_name="test") as client:
        client.set("a", b"\xff\xfeok")
        assert client.get("a") == "��ok"


def test_at_the_bound_of_the_pool_a_thread_waits_instead_of_failing(serve: Serve, until: Callable[..., Any]) -> None:
    server = serve()
    with connect(server.url, client_name="test", max_connections=1) as client:
        blocked = threading.Thread(target=client.blpop, args=("list", 4))
        blocked.start()
        with server.client() as other:
            until(lambda: other.info("clients")["blocked_clients"], "the blocking")
            waiting = threading.Thread(target=client.set, args=("a", "1"))
            waiting.start()
            assert other.get("a") is None
            other.rpush("list", "x")
            waiting.join()
            blocked.join()
            assert other.get("a") == "1"
    assert "No connection available" in _exhausted(server.url)


def _exhausted(url: str) -> str:
    with connect(url, client_name="test", max_connections=1, socket_timeout_s=0.05) as client:
        taken = client.connection_pool.get_connection()
        with pytest.raises(redis.ConnectionError) as caught:
            client.ping()
        client.connection_pool.release(taken)
        return str(caught.value)


def test_a_unix_socket(server: Any) -> None:
    with connect(server.url, client_name="test") as client:
        assert client.ping()


def test_a_cluster(serve: Serve, until: Callable[..., Any]) -> None:
    server = serve("--cluster-enabled", "yes", "--appendonly", "yes", "--tcp-keepalive", "0")
    url = f"redis+cluster://127.0.0.1:{server.port}"
    with pytest.raises(StoreError, match=r"the cluster is not usable .*Cure: redis:// for a single server"):
        connect(url, client_name="test")
    with server.client() as node:
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        until(lambda: node.cluster("INFO")["cluster_state"] == "ok", "the cluster's readiness")
    with connect(url, client_name="test") as client:
        assert [finding.setting for finding in check_server(client)] == ["maxmemory", "hash-max-listpack-value", "tcp-keepalive"]
        client.set("{cq:x}:a", "1")
        assert client.get("{cq:x}:a") == "1"
        assert client.retry.get_retries() == 0
        (node,) = client.get_primaries()
        assert type(client.get_redis_connection(node).connection_pool).__name__ == "BlockingConnectionPool"


@pytest.fixture
def sentinel(serve: Serve, directory: Path) -> tuple[Any, str]:
    """A master with a password, and the URL by which its Sentinel (with another one) knows it."""
    master = serve("--requirepass", "mpw")
    config = directory / "sentinel.conf"
    config.write_text(f"sentinel monitor main 127.0.0.1 {master.port} 1\nsentinel auth-pass main mpw\nrequirepass spw\n")
    watcher = serve(str(config), "--sentinel", ready="monitor master")
    return master, f"redis+sentinel://:mpw@127.0.0.1:{watcher.port}/main/2?sentinel_password=spw"


def test_a_sentinel(sentinel: tuple[Any, str]) -> None:
    master, url = sentinel
    with connect(url, client_name="test", max_connections=1) as client:
        client.set("a", "1")
        assert client.client_info()["db"] == 2
        assert client.connection_pool.master_address == ("127.0.0.1", master.port)
        assert client.connection_pool.get_connection().retry.get_retries() == 0


def test_a_sentinel_that_knows_no_such_master(sentinel: tuple[Any, str]) -> None:
    message = told(sentinel[1].replace("/main/", "/mian/"))
    assert "no Sentinel knows a healthy master of that name (No master found for 'mian')" in message
    assert "pw@" not in message
    assert "=spw" not in message


def test_tls(tls_port: int, certificate: tuple[Path, Path]) -> None:
    with connect(f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs={certificate[0]}", client_name="test") as client:
        assert client.ping()
    assert "its TLS certificate is not trusted" in told(f"rediss://127.0.0.1:{tls_port}")
    other_name = told(f"rediss://localhost:{tls_port}?ssl_ca_certs={certificate[0]}")
    assert "its TLS certificate is not trusted" in other_name
    assert "localhost" in other_name
    assert "rediss:// if the server wants TLS" in told(f"redis://127.0.0.1:{tls_port}")


def test_tls_to_a_port_without(listen: Listen) -> None:
    def answer_plainly(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"-ERR what?\r\n")

    assert "the TLS handshake failed" in told(f"rediss://127.0.0.1:{listen(answer_plainly)}")


def test_plain_to_a_tls_listener_that_hangs_up(listen: Listen) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    port = listen(lambda connection: context.wrap_socket(connection, server_side=True).close())
    assert "rediss:// if the server wants TLS" in told(f"redis://127.0.0.1:{port}")


def test_nobody_listens() -> None:
    message = told("redis://:secret@127.0.0.1:1/0")
    assert message == (
        "cannot use the store at redis://:***@127.0.0.1:1/0: nobody listens there. "
        "Cure: start the server, or correct host and port in redis.url"
    )


def test_an_unknown_host() -> None:
    assert "the host is unknown" in told("redis://no-such-host.invalid")


def test_no_such_socket(directory: Path) -> None:
    assert "there is no such socket" in told(f"unix://{directory}/nothing")


def test_a_forbidden_socket() -> None:
    error = redis.ConnectionError("Error 13 connecting to /s. Permission denied.")
    error.__cause__ = PermissionError(13, "Permission denied")
    assert "this user may not open it" in str(read_error(error, "unix:///s"))


@pytest.mark.parametrize("speech", [b"220 mail.example ESMTP\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n"])
def test_a_listener_that_is_no_redis(listen: Listen, speech: bytes) -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(speech)

    message = told(f"redis://127.0.0.1:{listen(speak)}")
    assert "what answers is not a Redis server" in message
    assert "correct the port" in message


def test_a_listener_that_says_nothing(listen: Listen) -> None:
    message = told(f"redis://127.0.0.1:{listen(lambda connection: connection.recv(1000) and connection.recv(1000))}", timeout_s=0.2)
    assert "it did not answer in time" in message


def test_a_listener_that_hangs_up(listen: Listen) -> None:
    assert "it closed the connection" in told(f"redis://127.0.0.1:{listen(lambda connection: connection.recv(1000))}")


def test_an_old_server(listen: Listen) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n")

    assert "the server is too old" in told(f"redis://127.0.0.1:{listen(refuse)}")


@pytest.fixture(params=["bundled", "debian"])
def guarded(request: pytest.FixtureRequest, serve: Serve) -> Any:
    """A server with a password, and a user ``app`` who may do little."""
    server = serve("--requirepass", "secret", binary=str(find_server()) if request.param == "bundled" else "")
    with redis.Redis(port=server.port, password="secret") as client:  # noqa: S106 - a throw-away server's
        client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "+hello", "+ping", "+client")
    return server


def test_passwords(guarded: Any) -> None:
    at = f"127.0.0.1:{guarded.port}"
    assert "it wants a password" in told(f"redis://{at}")
    wrong = told(f"redis://:hunter2@{at}")
    assert "wrong user or password" in wrong
    assert "hunter2" not in wrong
    assert "wrong user or password" in told(f"redis://nobody:hunter2@{at}")
    assert "its ACL forbids what the centre needs (" in told(f"redis://app:pw@{at}", command="INFO")


def test_a_password_that_changes_while_a_client_lives(guarded: Any) -> None:
    url = f"redis://:secret@127.0.0.1:{guarded.port}"
    with connect(url, client_name="test") as client:
        client.config_set("requirepass", "new")
        client.connection_pool.disconnect()
        with pytest.raises(redis.AuthenticationError) as caught:
            client.ping()
        assert "wrong user or password" in str(read_error(caught.value, url))
        with connect(url.replace("secret", "new"), client_name="test") as right:
            right.config_set("requirepass", "secret")
        assert client.ping()


def test_no_connection_left(serve: Serve) -> None:
    server = serve()
    with server.client() as client:
        client.config_set("maxclients", 1)
        assert "it has no connection left (maxclients)" in told(server.url)


def test_no_memory_left(serve: Serve) -> None:
    server = serve()
    with server.client() as client:
        client.config_set("maxmemory", 1)
        message = told(server.url, command="SET a 1")
        client.config_set("maxmemory", 0)
    assert "its memory is full (maxmemory)" in message
    assert message.endswith("Cure: raise maxmemory, or wait until Runs have finished")


def test_no_space_on_the_disk() -> None:
    error = redis.ResponseError("MISCONF Errors writing to the AOF file: No space left on device")
    assert str(read_error(error, "redis://h")).endswith("Cure: free space on the store's disk")


def test_no_such_database(serve: Serve) -> None:
    assert "it has no database of that number" in told(f"{serve().url}/99")


def test_a_replica(serve: Serve) -> None:
    server = serve("--replicaof", "127.0.0.1 1")
    with connect(server.url, client_name="test") as client, pytest.raises(redis.ResponseError) as caught:
        client.set("a", 1)
    assert "it is a replica" in str(read_error(caught.value, server.url))


def test_protected_mode() -> None:
    error = redis.ResponseError("DENIED Redis is running in protected mode because protected mode is enabled")
    assert "give it a password" in str(read_error(error, "redis://h"))


def test_what_nobody_thought_of_is_told_as_it_is_without_the_password() -> None:
    message = str(read_error(RuntimeError("odd: secret"), "redis://:secret@h"))
    assert message == "cannot use the store at redis://:***@h: odd: ***. Cure: look into the server's log"
    assert "odd" in str(read_error(RuntimeError("odd"), "nonsense://"))


def test_a_store_error_is_told_as_it_is() -> None:
    error = StoreError("as it is")
    assert read_error(error, "redis://h") is error
    with pytest.raises(StoreError, match="is no kind of store"):
        connect("nonsense", client_name="test")
