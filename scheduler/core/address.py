"""Reads redis.url: five kinds of address, checked to the last option before anything connects."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from scheduler.core.errors import StoreError
from scheduler.core.nearest import did_you_mean

Kind = Literal["tcp", "unix", "sentinel", "cluster"]

_KINDS: dict[str, Kind] = {"redis": "tcp", "unix": "unix", "redis+sentinel": "sentinel", "redis+cluster": "cluster"}
_SCHEMES = ("embedded", *_KINDS, "rediss", "rediss+sentinel", "rediss+cluster")
_CUT_SHORT = re.compile(r"://[^/?#]*[/?#].*@", re.DOTALL)  # what was meant as a password ends at its first / ? or #
_ALLOWED = (
    "embedded, redis://[user:password@]host:6379/0, rediss://… (TLS), unix:///path/store.sock, "
    "redis+sentinel://host1:26379,host2:26379/MASTER/0, redis+cluster://host1:6379,host2:6379; "
    "in a password, write the signs / ? # @ : % as %2F %3F %23 %40 %3A %25"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the store is. ``options`` and ``sentinel_options`` are keyword arguments of redis-py's connections."""

    kind: Kind
    tls: bool
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    master: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    sentinel_options: Mapping[str, Any] = field(default_factory=dict)


def parse_address(url: str) -> Address:
    """The address in ``url``; StoreError names what is wrong in it and what is allowed."""
    try:
        return _address(url, urlsplit(url))
    except ValueError as exc:
        wrong = "the password has a sign that must be percent-encoded" if _CUT_SHORT.search(url) else exc
        raise StoreError(f"redis.url {mask_url(url)}: {wrong}. Allowed: {_ALLOWED}") from None


def mask_url(url: str) -> str:
    """The URL as it may be shown: every password in it is ``***``."""
    shown = re.sub(r"((?:^|://)[^:@/]*):(?!//).*@", r"\1:***@", url, count=1, flags=re.DOTALL)
    return re.sub(r"([?&]\w*password=)[^&]*", r"\1***", shown)


def _address(url: str, parts: SplitResult) -> Address:
    if parts.fragment:
        raise ValueError("an address has no part that begins with #")
    scheme, _, rest = url.partition("://")
    kind, tls = _KINDS.get(scheme.replace("rediss", "redis", 1)), scheme.startswith("rediss")
    if not kind or not rest:
        raise ValueError(f"{mask_url(url).partition('://')[0]!r} is no kind of store{did_you_mean(scheme, _SCHEMES)}")
    user, _, hosts = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    path = unquote(parts.path, errors="surrogateescape")
    master, db = ("", 0) if kind == "unix" else _master_and_db(kind, path.strip("/"))
    said = {"username": unquote(name), "password": unquote(password), "db": db}
    query = _read_query(parts.query, kind, tls)
    sentinel = {option.removeprefix("sentinel_"): query.pop(option) for option in _SENTINEL_OPTIONS if option in query}
    options = {option: value for option, value in said.items() if value} | query
    if kind == "unix":
        if hosts or not path:
            raise ValueError("the path of the socket is missing or relative; it is like unix:///absolute/path/store.sock")
        return Address(kind, tls, path=path, options=options)
    return Address(kind, tls, _read_hosts(kind, hosts), master=master, options=options, sentinel_options=sentinel)


def _master_and_db(kind: Kind, path: str) -> tuple[str, int]:
    master, _, db = path.partition("/") if kind == "sentinel" else ("", "", path)
    if kind == "sentinel" and not master:
        raise ValueError("the master's name is missing: redis+sentinel://host1:26379,host2:26379/MASTER/0")
    if db and not db.isdecimal():
        raise ValueError(f"{db!r} is not the number of a database, such as 0")
    if kind == "cluster" and int(db or 0):
        raise ValueError(f"a cluster has database 0 only, not {db}")
    return master, int(db or 0)


def _read_hosts(kind: Kind, text: str) -> tuple[tuple[str, int], ...]:
    if kind == "tcp" and "," in text:
        raise ValueError("several hosts are for redis+sentinel:// and redis+cluster://")
    return tuple(_host_and_port(part, 26379 if kind == "sentinel" else 6379) for part in text.split(","))


def _host_and_port(text: str, default_port: int) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^:\[\]]+))(?::(\d+))?", text)
    if not match:
        raise ValueError(f"{text!r} is not a host with a port, such as localhost:{default_port}")
    port = int(match[3] or default_port)
    if not 0 < port < 65536:
        raise ValueError(f"port {port} is not between 1 and 65535")
    return match[1] or match[2], port


def _flag(value: str) -> bool:
    if value.lower() not in {"true", "yes", "1", "false", "no", "0"}:
        raise ValueError(f"{value!r} is not true or false")
    return value.lower() in {"true", "yes", "1"}


_TIMES_AND_BOUNDS = {"socket_timeout": float, "socket_connect_timeout": float, "max_connections": int}
_OPTIONS: dict[str, Any] = {"db": int, "username": str, "password": str, **_TIMES_AND_BOUNDS}
_TLS_OPTIONS: dict[str, Any] = {f"ssl_{name}": str for name in ("ca_certs", "ca_path", "certfile", "keyfile", "password", "cert_reqs")}
_TLS_OPTIONS["ssl_check_hostname"] = _flag
_SENTINEL_OPTIONS: dict[str, Any] = {"sentinel_username": str, "sentinel_password": str}


def _read_query(query: str, kind: Kind, tls: bool) -> dict[str, Any]:
    known = _OPTIONS | (_TLS_OPTIONS if tls else {}) | (_SENTINEL_OPTIONS if kind == "sentinel" else {})
    if kind == "cluster":
        del known["db"]
    options: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            hint = " (it needs rediss://)" if name in _TLS_OPTIONS else did_you_mean(name, known)
            raise ValueError(f"unknown option {name!r}{hint}; allowed here: {', '.join(known)}")
        try:
            options[name] = known[name](value)
        except ValueError as exc:
            raise ValueError(f"option {name}: {exc}") from None
    return options
