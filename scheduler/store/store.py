"""The one call the centre makes: reach or start the live store, check it, and hand out clients."""

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scheduler.core.address import mask_url
from scheduler.core.clock import monotonic, sleep
from scheduler.core.errors import StoreError
from scheduler.store.checks import Finding, check_server
from scheduler.store.connect import connect, read_error
from scheduler.store.embedded import LOADING_LIMIT_S, EmbeddedServer

if TYPE_CHECKING:
    import redis

EMBEDDED = "embedded"
_POLL_S = 0.05
_log = logging.getLogger(__name__)


class Store:
    """A checked store. ``findings`` are the warnings of the check; ``server`` is None for a remote one."""

    def __init__(self, url: str, client: "redis.Redis", server: EmbeddedServer | None, findings: list[Finding], held: ExitStack) -> None:
        self.url = url
        self.client = client
        self.server = server
        self.findings = findings
        self._held = held

    def client_for(self, name: str, **options: Any) -> "redis.Redis":
        """Another client with its own connections, named ``name`` in CLIENT LIST; ``options`` as of ``connect``. ``close`` ends it too."""
        client = connect(self.url, client_name=name, **options)
        self._held.callback(client.close)
        return client

    def revive(self) -> None:
        """Start an embedded server that has died anew, on the same socket; nothing for a living or a remote one. Raises StoreError."""
        if self.server:
            self.server.start()

    def close(self) -> None:
        """End every client; the last user of an embedded server shuts it down."""
        self._held.close()


def open_store(settings_url: str, data_dir: Path, *, client_name: str, allow_volatile: bool = False) -> Store:
    """The store of ``redis.url`` (``embedded`` or a URL): started or reached, loaded, checked. Warnings are logged.

    Raises StoreError naming address, problem and cure; a refusing check names every setting at once.
    """
    with ExitStack() as held:
        server, url = None, settings_url
        if settings_url == EMBEDDED:
            server = EmbeddedServer(data_dir)
            url = server.start()
            held.callback(server.stop)
        client = connect(url, client_name=client_name)
        held.callback(client.close)
        findings = _check(client, url, allow_volatile)
        return Store(url, client, server, findings, held.pop_all())


def _check(client: "redis.Redis", url: str, allow_volatile: bool) -> list[Finding]:
    try:
        _wait_until_loaded(client)
        findings = check_server(client, allow_volatile=allow_volatile)
    except Exception as exc:
        raise read_error(exc, url) from exc
    refusals = [f"- {finding}" for finding in findings if finding.level == "refuse"]
    if refusals:
        raise StoreError("\n".join([f"the store at {mask_url(url)} must not be used:", *refusals]))
    for finding in findings:
        _log.warning("store %s: %s", mask_url(url), finding)
    return findings


def _wait_until_loaded(client: "redis.Redis") -> None:
    from redis.exceptions import BusyLoadingError

    deadline = monotonic() + LOADING_LIMIT_S
    while True:
        try:
            client.ping()
        except BusyLoadingError:
            if monotonic() > deadline:
                raise
            sleep(_POLL_S)
        else:
            return
