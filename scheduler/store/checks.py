"""The boot check: a server must be new enough, primary, durable, closed to strangers, and must never evict a Run."""

import ipaddress
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from scheduler.core.clock import Clock, SystemClock
from scheduler.core.units import format_ms

if TYPE_CHECKING:
    import redis

MAX_SKEW_MS = 2_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about the server that is not as it should be; ``refuse`` forbids to start on it."""

    level: Literal["refuse", "warn"]
    setting: str
    value: str
    wanted: str
    cure: str

    def __str__(self) -> str:
        return f"{self.setting} is {self.value}, wanted: {self.wanted}. Cure: {self.cure}"


def check_server(client: "redis.Redis", *, allow_volatile: bool = False, clock: Clock | None = None) -> list[Finding]:
    """What is wrong with the server (of a cluster: with each primary), refusals first. Raises redis-py's errors when INFO fails."""
    cluster: Any = client if hasattr(client, "get_primaries") else None
    servers = [cluster.get_redis_connection(node) for node in cluster.get_primaries()] if cluster else [client]
    found: dict[Finding, None] = {}
    for server in servers:
        info = server.info()
        findings = list(_wrong_door(info, in_cluster=bool(cluster))) or _check(server, info, allow_volatile, clock or SystemClock())
        found.update(dict.fromkeys(findings))
    return sorted(found, key=lambda finding: finding.level != "refuse")


def _wrong_door(info: Mapping[str, Any], *, in_cluster: bool) -> Iterator[Finding]:
    mode = info.get("server_mode") or info.get("redis_mode", "standalone")
    if mode == "sentinel":
        yield Finding("refuse", "server mode", "sentinel", "a server", "write redis+sentinel://host:26379/MASTER in redis.url")
    if mode == "cluster" and not in_cluster:
        yield Finding("refuse", "server mode", "cluster", "a cluster's URL", "write redis+cluster://host:port in redis.url")


def _check(server: Any, info: Mapping[str, Any], allow_volatile: bool, clock: Clock) -> Iterator[Finding]:
    config = _read_config(server)
    yield from _server(info)
    yield from _persistence(info, config, allow_volatile)
    yield from _settings(info, config)
    yield from _skew(server, clock)
    yield from _doors(server)


def _server(info: Mapping[str, Any]) -> Iterator[Finding]:
    version = str(info.get("redis_version", "unknown"))  # Valkey gives the Redis version it is compatible with
    major = version.partition(".")[0]
    if not major.isdecimal() or int(major) < 7:
        yield Finding("refuse", "version", version, "7.0 or newer (Functions)", "use Redis 7.0 or newer, or Valkey")
    if info.get("role") == "slave":
        primary = f"{info.get('master_host')}:{info.get('master_port')}"
        yield Finding("refuse", "role", f"replica of {primary}", "primary", f"name {primary} in redis.url, or use redis+sentinel://")
    policy = info.get("maxmemory_policy", "unknown")
    if policy != "noeviction":
        wanted = "noeviction (any other drops waiting Runs)"
        yield Finding("refuse", "maxmemory-policy", policy, wanted, _set("maxmemory-policy noeviction"))
    if info.get("maxmemory") == 0:
        cure = "set maxmemory to what the host can spare: a full store then refuses new Runs instead of being killed"
        yield Finding("warn", "maxmemory", "0 (no bound)", "a bound", cure)


def _persistence(info: Mapping[str, Any], config: Mapping[str, str] | None, allow_volatile: bool) -> Iterator[Finding]:
    if info.get("aof_last_write_status", "ok") != "ok":
        yield Finding("warn", "aof_last_write_status", str(info["aof_last_write_status"]), "ok", "free space on the server's disk")
    if info.get("aof_enabled"):
        return
    if config is None or config.get("save"):
        value = f"no, only {'save ' + config['save'] if config else 'perhaps snapshots'}"
        yield Finding("warn", "appendonly", value, "yes (a crash loses all since the last snapshot)", _set("appendonly yes"))
    else:
        wanted = "yes (a restart loses every Run; redis.allow_volatile: true accepts that)"
        yield Finding("warn" if allow_volatile else "refuse", "appendonly", 'no, with save ""', wanted, _set("appendonly yes"))


def _set(setting: str) -> str:
    return f"CONFIG SET {setting}, and the same in the server's configuration"


_WANTED: dict[str, tuple[str, str, Callable[[str], bool]]] = {
    "appendfsync": ("everysec", "", lambda value: value != "no"),
    "aof-load-truncated": ("yes", " (starts after a power cut)", lambda value: value == "yes"),
    "hash-max-listpack-value": ("4096", " (a third of the memory per Run)", lambda value: int(value) >= 4096),
    "timeout": ("0", " (idle connections stay)", lambda value: value == "0"),
    "tcp-keepalive": ("60", "", lambda value: value != "0"),
}


def _read_config(server: Any) -> Mapping[str, str] | None:
    """The settings the check looks at; None where CONFIG GET is not permitted (an ACL, or a managed service)."""
    from redis.exceptions import ResponseError

    try:
        return dict(server.config_get("save", "min-replicas-to-write", *_WANTED))
    except ResponseError:
        return None


def _settings(info: Mapping[str, Any], config: Mapping[str, str] | None) -> Iterator[Finding]:
    if config is None:
        names = ", ".join(f"{name} {wanted}" for name, (wanted, _, _) in _WANTED.items())
        yield Finding("warn", "CONFIG GET", "not permitted", "settings that can be read", f"see to it that the server has {names}")
        return
    for name, (wanted, why, good) in _WANTED.items():
        if name in config and not good(config[name]):
            yield Finding("warn", name, config[name], wanted + why, f"CONFIG SET {name} {wanted}")
    if info.get("connected_slaves") and config.get("min-replicas-to-write") == "0":
        cure = "CONFIG SET min-replicas-to-write 1, so that a cut-off primary takes no Runs that the failover forgets"
        yield Finding("warn", "min-replicas-to-write", "0", "1 (there are replicas)", cure)


def _skew(server: Any, clock: Clock) -> Iterator[Finding]:
    before_ms = clock.now_ms()
    seconds, microseconds = server.time()
    ahead_ms = (seconds * 1000 + microseconds // 1000) - (before_ms + clock.now_ms()) // 2
    if abs(ahead_ms) > MAX_SKEW_MS:
        value = f"{format_ms(abs(ahead_ms))} {'ahead of' if ahead_ms > 0 else 'behind'} this machine"
        yield Finding("warn", "clock", value, f"less than {format_ms(MAX_SKEW_MS)} apart", "run a time service (NTP) on both machines")


def _doors(server: Any) -> Iterator[Finding]:
    pool = server.connection_pool
    host = (getattr(pool, "master_address", None) or (pool.connection_kwargs.get("host"),))[0]
    if host and not _is_loopback(host) and _open_to_anyone(server):
        wanted = "a password on a server of another host"
        cure = "give it a password (requirepass, or an ACL user) and write redis://user:password@host:port/db in redis.url"
        yield Finding("refuse", "requirepass", "empty: anyone who reaches the server may write", wanted, cure)


def _is_loopback(host: str) -> bool:
    """Whether every address of ``host`` is this machine's own loopback."""
    found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    return all(ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]).is_loopback for *_, sockaddr in found)


def _open_to_anyone(server: Any) -> bool:
    """Whether we came in as the default user and that user needs no password (AUTH with any password succeeds then)."""
    from redis.exceptions import ResponseError

    options = server.connection_pool.connection_kwargs
    if options.get("ssl_certfile"):
        return False  # the server knows us by our certificate
    try:
        return server.acl_whoami() == "default" and "nopass" in server.acl_getuser("default")["flags"]
    except ResponseError:
        return not options.get("password")
