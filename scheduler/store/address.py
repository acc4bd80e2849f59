"""Reads redis.url: five kinds of address, checked to the last option before anything connects."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from scheduler.core.errors import StoreError

Kind = Literal["tcp", "unix", "sentinel", "cluster"]

_KINDS: dict[str, tuple[Kind, bool]] = {
    "redis": ("tcp", False),
    "rediss": ("tcp", True),
    "unix": ("unix", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_DEFAULT_PORTS: dict[Kind, int] = {"tcp": 6379, "sentinel": 26379, "cluster": 6379}


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
    scheme, _, rest = url.partition("://")
    if scheme not in _KINDS or not rest:
        shown = mask_url(url).partition("://")[0]
        raise _bad(url, f"{shown!r} is no kind of store{_nearest(scheme, ['embedded', *_KINDS])}", _ALLOWED)
    kind, tls = _KINDS[scheme]
    try:
        return _address(url, kind, tls, urlsplit(url))
    except ValueError as exc:
        raise _bad(url, str(exc), "in a password, write the signs / ? # @ : % as %2F %3F %23 %40 %3A %25") from exc


def mask_url(url: str) -> str:
    """The URL as it may be shown: every password in it is ``***``."""
    shown = re.sub(r"((?:^|://)[^:@/]*):(?!//).*@", r"\1:***@", url, count=1, flags=re.DOTALL)
    return re.sub(r"([?&]\w*password=)[^&]*", r"\1***", shown)


def _address(url: str, kind: Kind, tls: bool, parts: SplitResult) -> Address:
    user, hosts = _split_user(parts.netloc)
    query = _read_query(parts.query, kind, tls)
    sentinel = {name.removeprefix("sentinel_"): query.pop(name) for name in list(query) if name.startswith("sentinel_")}
    path, master, db = _split_path(kind, unquote(parts.path, errors="surrogateescape"))
    options = {**user, **({"db": db} if db else {}), **query}
    if kind == "unix":
        if hosts or not path:
            raise _bad(url, "the path of the socket is missing or relative", "unix:///absolute/path/store.sock")
        return Address(kind, tls, path=path, options=options)
    return Address(kind, tls, _split_hosts(kind, hosts), master=master, options=options, sentinel_options=sentinel)


def _split_user(netloc: str) -> tuple[dict[str, Any], str]:
    user_info, _, hosts = netloc.rpartition("@")
    name, _, password = user_info.partition(":")
    user = {"username": unquote(name), "password": unquote(password)}
    return {key: value for key, value in user.items() if value}, hosts


def _split_hosts(kind: Kind, text: str) -> tuple[tuple[str, int], ...]:
    hosts = tuple(_host_and_port(part, _DEFAULT_PORTS[kind]) for part in text.split(","))
    if kind == "tcp" and len(hosts) > 1:
        raise ValueError("several hosts are for redis+sentinel:// and redis+cluster://")
    return hosts


def _host_and_port(text: str, default_port: int) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^:\[\]]+))(?::(\d+))?", text)
    if not match:
        raise ValueError(f"{text!r} is not a host with a port, such as localhost:{default_port}")
    port = int(match[3] or default_port)
    if not 0 < port < 65536:
        raise ValueError(f"port {port} is not between 1 and 65535")
    return match[1] or match[2], port


def _split_path(kind: Kind, path: str) -> tuple[str, str, int]:
    """(socket path, name of the Sentinel master, number of the database)."""
    if kind == "unix":
        return path, "", 0
    master, rest = "", path.strip("/")
    if kind == "sentinel":
        master, _, rest = rest.partition("/")
        if not master:
            raise ValueError("the master's name is missing: redis+sentinel://host1:26379,host2:26379/MASTER/0")
    if rest and not rest.isdecimal():
        raise ValueError(f"{rest!r} is not the number of a database, such as 0")
    db = int(rest or 0)
    if kind == "cluster" and db:
        raise ValueError(f"a cluster has database 0 only, not {db}")
    return "", master, db


def _flag(value: str) -> bool:
    if value.lower() not in {"true", "yes", "1", "false", "no", "0"}:
        raise ValueError(f"{value!r} is not true or false")
    return value.lower() in {"true", "yes", "1"}


_OPTIONS: dict[str, Any] = {
    "db": int,
    "username": str,
    "password": str,
    "socket_timeout": float,
    "socket_connect_timeout": float,
    "max_connections": int,
}
_TLS_OPTIONS: dict[str, Any] = {
    "ssl_ca_certs": str,
    "ssl_ca_path": str,
    "ssl_certfile": str,
    "ssl_keyfile": str,
    "ssl_password": str,
    "ssl_cert_reqs": str,
    "ssl_check_hostname": _flag,
}
_SENTINEL_OPTIONS: dict[str, Any] = {"sentinel_username": str, "sentinel_password": str}


def _read_query(query: str, kind: Kind, tls: bool) -> dict[str, Any]:
    known = _OPTIONS | (_TLS_OPTIONS if tls else {}) | (_SENTINEL_OPTIONS if kind == "sentinel" else {})
    if kind == "cluster":
        known = {name: parse for name, parse in known.items() if name != "db"}
    options: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            hint = " (it needs rediss://)" if name in _TLS_OPTIONS else _nearest(name, list(known))
            raise ValueError(f"unknown option {name!r}{hint}; allowed here: {', '.join(known)}")
        try:
            options[name] = known[name](value)
        except ValueError as exc:
            raise ValueError(f"option {name}: {exc}") from None
    return options


_ALLOWED = (
    "embedded, redis://[user:password@]host:6379/0, rediss://… (TLS), unix:///path/store.sock, "
    "redis+sentinel://host1:26379,host2:26379/MASTER/0, redis+cluster://host1:6379,host2:6379"
)


def _nearest(word: str, known: list[str]) -> str:
    found = get_close_matches(word, known, n=1)
    return f", did you mean {found[0]!r}?" if found else ""


def _bad(url: str, what: str, allowed: str) -> StoreError:
    return StoreError(f"redis.url {mask_url(url)}: {what}. Allowed: {allowed}")
