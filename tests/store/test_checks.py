"""The boot check on real servers of both makes: what it refuses, what it warns of, and what it lets pass."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scheduler.core.clock import SystemClock
from scheduler.store.checks import Finding, _is_loopback, check_server
from scheduler.store.connect import connect

Serve = Callable[..., Any]
GOOD = ("--appendonly", "yes", "--hash-max-listpack-value", "4096", "--maxmemory", "1gb", "--save", "")


def found(url: str, **options: Any) -> dict[str, Finding]:
    with connect(url, client_name="test") as client:
        return {finding.setting: finding for finding in check_server(client, **options)}


def levels(findings: dict[str, Finding]) -> dict[str, str]:
    return {setting: finding.level for setting, finding in findings.items()}


def test_a_good_server_passes(serve: Serve, either: Path) -> None:
    assert found(serve(*GOOD, binary=str(either)).url) == {}


def test_a_volatile_server_is_refused_by_the_name_of_its_setting(serve: Serve, either: Path) -> None:
    server = serve(*GOOD, "--appendonly", "no", binary=str(either))
    (finding,) = found(server.url).values()
    assert finding.level == "refuse"
    assert str(finding) == (
        'appendonly is no, with save "", wanted: yes (a restart loses every Run; redis.allow_volatile: true accepts that). '
        "Cure: CONFIG SET appendonly yes, and the same in the server's configuration"
    )
    assert levels(found(server.url, allow_volatile=True)) == {"appendonly": "warn"}


def test_snapshots_alone_are_warned_of(serve: Serve) -> None:
    finding = found(serve(*GOOD, "--appendonly", "no", "--save", "60 1").url)["appendonly"]
    assert (finding.level, finding.value) == ("warn", "no, only save 60 1")


def test_eviction_is_refused(serve: Serve, either: Path) -> None:
    finding = found(serve(*GOOD, "--maxmemory-policy", "allkeys-lru", binary=str(either)).url)["maxmemory-policy"]
    assert (finding.level, finding.value) == ("refuse", "allkeys-lru")


def test_settings_that_cost_or_lose_a_little_are_warned_of(serve: Serve) -> None:
    args = ["--appendonly", "yes", "--appendfsync", "no", "--aof-load-truncated", "no", "--timeout", "30", "--tcp-keepalive", "0"]
    findings = found(serve(*args).url)
    assert levels(findings) == dict.fromkeys(
        ["maxmemory", "appendfsync", "aof-load-truncated", "hash-max-listpack-value", "timeout", "tcp-keepalive"], "warn"
    )
    assert findings["hash-max-listpack-value"].value == "64"


def test_refusals_come_first(serve: Serve) -> None:
    with connect(serve("--timeout", "30", "--maxmemory-policy", "allkeys-lru", "--save", "").url, client_name="test") as client:
        assert [finding.level for finding in check_server(client)] == ["refuse", "refuse", "warn", "warn", "warn"]


def test_a_replica_is_refused_and_its_primary_named(serve: Serve) -> None:
    primary = serve(*GOOD)
    replica = serve(*GOOD, "--replicaof", f"127.0.0.1 {primary.port}")
    finding = found(replica.url)["role"]
    assert finding.level == "refuse"
    assert f"127.0.0.1:{primary.port}" in finding.cure


def test_a_primary_that_would_write_on_without_its_replicas_is_warned_of(serve: Serve, until: Callable[..., Any]) -> None:
    primary = serve(*GOOD, "--repl-diskless-sync-delay", "0")
    serve(*GOOD, "--replicaof", f"127.0.0.1 {primary.port}")
    with primary.client() as client:
        until(lambda: client.info("replication")["connected_slaves"], "the replica's connection")
    assert levels(found(primary.url)) == {"min-replicas-to-write": "warn"}


def test_a_sentinel_and_a_cluster_are_told_from_a_server(serve: Serve, directory: Path) -> None:
    config = directory / "sentinel.conf"
    config.write_text("")
    sentinel = found(serve(str(config), "--sentinel", ready="Sentinel ID").url)["server mode"]
    assert (sentinel.level, sentinel.value) == ("refuse", "sentinel")
    assert "redis+sentinel://" in sentinel.cure
    cluster = found(serve("--cluster-enabled", "yes").url)["server mode"]
    assert (cluster.level, cluster.value) == ("refuse", "cluster")


def test_a_server_that_keeps_its_settings_to_itself_is_warned_of(serve: Serve) -> None:
    server = serve(*GOOD, "--rename-command", "CONFIG", "")
    (finding,) = found(server.url).values()
    assert (finding.level, finding.setting, finding.value) == ("warn", "CONFIG GET", "not permitted")
    assert "hash-max-listpack-value 4096" in finding.cure
    volatile = serve("--rename-command", "CONFIG", "", "--save", "", "--maxmemory", "1gb")
    assert levels(found(volatile.url)) == {"appendonly": "warn", "CONFIG GET": "warn"}


def test_a_user_with_few_rights_can_be_checked(serve: Serve) -> None:
    server = serve(*GOOD)
    with server.client() as client:
        client.execute_command(
            "ACL", "SETUSER", "cq", "on", ">pw", "~{cq:prod}:*", "+fcall", "+ping", "+info", "+client", "+hello", "+time"
        )
    assert levels(found(f"redis://cq:pw@127.0.0.1:{server.port}")) == {"CONFIG GET": "warn"}


class ShiftedClock(SystemClock):
    def __init__(self, ahead_ms: int) -> None:
        self.ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


@pytest.mark.parametrize(("ahead_ms", "told"), [(3_600_000, "behind this machine"), (-3_600_000, "ahead of this machine")])
def test_clocks_that_differ_are_warned_of(serve: Serve, ahead_ms: int, told: str) -> None:
    url = serve(*GOOD).url
    finding = found(url, clock=ShiftedClock(ahead_ms))["clock"]
    assert finding.level == "warn"
    assert told in finding.value
    assert finding.value.startswith(("1h", "59m59s"))
    assert found(url, clock=ShiftedClock(1_000)) == {}


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ("redis_version:6.2.14", {"version": "refuse"}),
        ("redis_version:strange", {"version": "refuse"}),
        ("redis_version:7.0.0\r\naof_last_write_status:err", {"aof_last_write_status": "warn"}),
    ],
)
def test_a_server_that_says_of_itself(listen: Callable[..., int], info: str, expected: dict[str, str]) -> None:
    text = f"{info}\r\nrole:master\r\nmaxmemory:1\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n".encode()
    now = str(SystemClock().now_ms() // 1000).encode()
    answers = {
        b"HELLO": b"%1\r\n$5\r\nproto\r\n:3\r\n",
        b"INFO": b"$%d\r\n%s\r\n" % (len(text), text),
        b"TIME": b"*2\r\n$%d\r\n%s\r\n$1\r\n0\r\n" % (len(now), now),
        b"CLIENT": b"+OK\r\n",
    }

    def speak(connection: socket.socket) -> None:
        while said := connection.recv(10_000):
            connection.sendall(next((answer for word, answer in answers.items() if word in said), b"-ERR unknown command\r\n"))

    assert levels(found(f"redis://127.0.0.1:{listen(speak)}")) == {**expected, "CONFIG GET": "warn"}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """A host whose name stands for an address beyond this machine, as far as a look-up without a port tells."""
    look_up = socket.getaddrinfo

    def look_up_both(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != "store.example":
            return look_up(host, port, *args, **options)
        return look_up("127.0.0.1" if port else "192.0.2.7", port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_both)
    return "store.example"


def test_another_host_without_a_password_is_refused(serve: Serve, either: Path, elsewhere: str) -> None:
    server = serve(*GOOD, binary=str(either))
    for url in (f"redis://{elsewhere}:{server.port}", f"redis://:any@{elsewhere}:{server.port}"):
        finding = found(url)["requirepass"]
        assert finding.level == "refuse"
        assert "write redis://user:password@" in finding.cure
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "+@all", "~*", "&*")
        assert found(f"redis://app:pw@{elsewhere}:{server.port}") == {}
        client.config_set("requirepass", "pw")
    assert found(f"redis://:pw@{elsewhere}:{server.port}") == {}


def test_where_acl_cannot_be_asked_the_url_tells(serve: Serve, elsewhere: str) -> None:
    server = serve(*GOOD, "--rename-command", "ACL", "")
    assert levels(found(f"redis://{elsewhere}:{server.port}")) == {"requirepass": "refuse"}
    assert found(f"redis://:pw@{elsewhere}:{server.port}") == {}


def test_a_client_known_by_its_certificate_needs_no_password(tls_port: int, certificate: tuple[Path, Path], elsewhere: str) -> None:
    chain, key = certificate
    url = f"rediss://{elsewhere}:{tls_port}?ssl_ca_certs={chain}&ssl_check_hostname=no"
    assert "requirepass" in found(url)
    assert "requirepass" not in found(f"{url}&ssl_certfile={chain}&ssl_keyfile={key}")


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("localhost", True), ("::1", True), ("10.0.0.1", False), ("192.0.2.7", False)],
)
def test_loopback(host: str, own: bool) -> None:
    assert _is_loopback(host) is own
