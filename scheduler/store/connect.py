"""Connects to the live store by URL, and turns whatever redis-py raises into one sentence with the cure."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from scheduler.core.address import mask_url, parse_address
from scheduler.core.errors import StoreError

if TYPE_CHECKING:
    import redis


def connect(
    url: str, *, decode_responses: bool = True, socket_timeout_s: float = 5.0, max_connections: int = 8, client_name: str
) -> "redis.Redis":
    """A client of the store at ``url``; it connects with its first command (a cluster's: now).

    No command is ever replayed. At ``max_connections`` a thread waits up to ``socket_timeout_s`` for a free one. A blocking
    command must not block longer than half of ``socket_timeout_s``, the patience with a peer that vanished. Raises StoreError.
    """
    from scheduler.store.clients import build  # redis costs 0.15 s to import; --help must not pay it

    settings = {
        "max_connections": max_connections,
        "timeout": socket_timeout_s,
        "socket_timeout": socket_timeout_s,
        "socket_connect_timeout": socket_timeout_s,
        "decode_responses": decode_responses,
        "client_name": re.sub(r"[^!-~]+", "-", client_name),  # the server refuses spaces and letters beyond ASCII
    }
    try:
        return build(parse_address(url), settings)
    except Exception as exc:
        raise read_error(exc, url) from exc


def read_error(exc: BaseException, url: str) -> StoreError:
    """The StoreError that tells what ``exc``, raised by a client of ``url``, means and how to cure it; passwords are masked."""
    if isinstance(exc, StoreError):
        return exc
    signs = "\n".join(f"{type(link).__name__}: {link}" for link in _chain(exc))
    detail = _without_secrets(str(exc) or type(exc).__name__, url)
    wrong, cure = next((wrong, cure) for pattern, wrong, cure in _READINGS if re.search(pattern, signs))
    return StoreError(f"cannot use the store at {mask_url(url)}: {wrong.format(detail=detail)}. Cure: {cure}")


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    while exc:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _without_secrets(text: str, url: str) -> str:
    with suppress(StoreError):
        address = parse_address(url)
        for name, value in (*address.options.items(), *address.sentinel_options.items()):
            text = text.replace(value, "***") if name.endswith("password") else text
    return text


# Searched in order in the names and texts of the exception and its causes; the last one takes all.
_READINGS = (
    ("gaierror", "the host is unknown ({detail})", "correct the host in redis.url, or the name service"),
    ("CertificateError|CERTIFICATE_VERIFY", "its TLS certificate is not trusted ({detail})", "add ?ssl_ca_certs=/path/ca.pem to redis.url"),
    ("SSLError|SSL:|_ssl", "the TLS handshake failed ({detail})", "redis:// for a server without TLS, or the port that speaks TLS"),
    ("MISCONF", "it cannot write to its disk ({detail})", "free space on the store's disk"),
    ("OutOfMemoryError", "its memory is full (maxmemory)", "raise maxmemory, or wait until Runs have finished"),
    ("ConnectionRefusedError", "nobody listens there", "start the server, or correct host and port in redis.url"),
    ("FileNotFoundError", "there is no such socket", "start the server, or correct the path in redis.url"),
    (r"\bPermissionError", "this user may not open it", "run as the user that owns the socket, or change its rights"),
    ("BusyLoadingError", "it is still loading its data", "wait until it has loaded, then start again"),
    ("max number of clients", "it has no connection left (maxclients)", "raise maxclients, or stop clients that do not need it"),
    ("DENIED|protected mode", "its protected mode refuses other hosts", "give it a password (requirepass) and put that into redis.url"),
    ("NoPermissionError", "its ACL forbids what the centre needs ({detail})", "grant INFO, TIME, CLIENT, FCALL and the data commands"),
    ("NOAUTH|Authentication required|already authent", "it wants a password", "write redis://user:password@host:port/db in redis.url"),
    ("AuthenticationError", "wrong user or password ({detail})", "correct user and password in redis.url"),
    ("DB index", "it has no database of that number", "use database 0, or raise `databases` on the server"),
    ("HELLO", "the server is too old ({detail})", "use Redis 7.0 or newer, or Valkey"),
    ("MasterNotFoundError", "no Sentinel knows a healthy master of that name ({detail})", "correct hosts and name (SENTINEL MASTERS)"),
    ("InvalidResponse|AttributeError|RESP version", "what answers is not a Redis server ({detail})", "correct the port in redis.url"),
    ("ReadOnlyError|MasterDownError", "it is a replica and cannot be written", "name the primary in redis.url, or use redis+sentinel://"),
    ("TimeoutError", "it did not answer in time ({detail})", "look for a firewall, a blocked server, or a port that is no Redis"),
    (
        "ConnectionReset|BrokenPipe|closed by server",
        "it closed the connection ({detail})",
        "rediss:// if the server wants TLS; else read its log",
    ),
    ("Cluster", "the cluster is not usable ({detail})", "redis:// for a single server; otherwise bring all slots up (CLUSTER INFO)"),
    ("", "{detail}", "look into the server's log"),
)
