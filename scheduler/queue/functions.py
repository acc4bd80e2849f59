"""The Redis function library: one Lua file per verb, loaded on demand under a name made of its content.

Two versions of the product on one Redis load two libraries side by side, so nobody up- or downgrades the other.
"""

import hashlib
import os
import re
import select
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from scheduler.queue.quarantine import quarantine

_CURES = 20  # of one call: somebody may flush the functions again and again while we load them
_FIELDS = "".join(rf"\n{field}: ?(?P<{field}>.*?)" for field in ("keys", "args", "returns", "flags"))
_HEADER = re.compile(rf"--\[\[ (?P<name>\w+): (?P<doc>.*?){_FIELDS}\n\]\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Verb:
    """One function, as its header declares it."""

    name: str
    doc: str
    args: str
    returns: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Library:
    """The Lua source of all verbs, and the name it is loaded under."""

    name: str
    code: str
    verbs: dict[str, Verb]


@cache
def library(folder: Path = Path(__file__).parent / "lua") -> Library:
    """Read, check and join the Lua files; ValueError where a header is missing or names another verb than its file."""
    verbs, bodies = {}, [path.read_text() for path in sorted(folder.glob("_*.lua"))]
    for path in sorted(folder.glob("[a-z]*.lua")):
        source = path.read_text()
        header = _HEADER.match(source)
        if not header or header["name"] != path.stem:
            raise ValueError(f"{path}: the header must read '--[[ {path.stem}: …', then keys, args, returns and flags")
        verbs[path.stem] = Verb(path.stem, header["doc"], header["args"], header["returns"], tuple(header["flags"].split()))
        bodies.append(source)
    digest = hashlib.sha256("\n".join(bodies).encode()).hexdigest()[:12]
    name = f"cq_{digest}"
    bodies += [_register(name, verb) for verb in verbs.values()]
    return Library(name, f"#!lua name={name}\n" + "\n".join(bodies), verbs)


def _register(name: str, verb: Verb) -> str:
    flags = ", ".join(f"'{flag}'" for flag in verb.flags)
    return f"redis.register_function{{function_name='{name}_{verb.name}', callback={verb.name}, flags={{{flags}}}}}"


class Line:
    """FCALL over a connection kept at hand: redis-py's own way takes and returns one, and asks its observers, for 30 µs a call.

    One connection is kept; a second caller at the same time gets another from the pool, which goes back there afterwards.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._kept: list[Any] = []
        self._pid = os.getpid()

    def call(self, *command: Any) -> Any:
        connection = self._take()
        try:
            connection.send_command("FCALL", *command)
            return connection.read_response()
        except BaseException as error:
            if not _answered(error):
                connection.disconnect()  # what is still to come on it would be taken for the next reply
            raise
        finally:
            self._give(connection)

    def _take(self) -> Any:
        if self._pid != os.getpid():  # a forked child must not share its parent's socket
            self._kept, self._pid = [], os.getpid()
        try:
            connection = self._kept.pop()
        except IndexError:
            return self._pool.get_connection()
        if _hung_up(connection):
            connection.disconnect()  # it connects anew when it sends
        return connection

    def _give(self, connection: Any) -> None:
        if self._kept:
            self._pool.release(connection)
        else:
            self._kept.append(connection)


def _hung_up(connection: Any) -> bool:
    """Whether the server has closed it since: an idle connection has nothing to read but its end. Costs 1 µs."""
    sock = connection._sock  # noqa: SLF001  redis-py's own check reads, for 10 µs
    if sock is None:
        return False
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _answered(error: BaseException) -> bool:
    """Whether the server has said so itself: then the connection is in order (a demoted or loading server closes it later)."""
    return type(error).__name__ in ("ResponseError", "OutOfMemoryError", "NoPermissionError")


class Functions:
    """Calls verbs by name: ``call("cancel", run, reason)``. ``now`` stands in for the server's clock in tests."""

    def __init__(self, client: Any, prefix: str) -> None:
        self.client = client
        self.prefix = prefix
        self.now: int | str = ""
        self._library = library()
        self._names = {verb: f"{self._library.name}_{verb}" for verb in self._library.verbs}
        pool = getattr(client, "connection_pool", None)
        self._fcall = client.fcall if pool is None else Line(pool).call  # a cluster's client finds the node itself

    def call(self, verb: str, *args: Any) -> Any:
        """One FCALL; where the server names a fault that can be cured, it is, and the call is made again."""
        command = (self._names[verb], 1, self.prefix, self.now, *args)
        for _ in range(_CURES):
            try:
                return self._fcall(*command)
            except Exception as error:
                if not self._cured(str(error)):
                    raise
        return self._fcall(*command)

    def _cured(self, fault: str) -> bool:
        """A new server, or FUNCTION FLUSH: the library is loaded. Foreign data under one of our keys: it is moved aside."""
        if "Function not found" in fault:
            self.load()
            return True
        return "WRONGTYPE" in fault and bool(quarantine(self.client, self.prefix, self.call))

    def load(self) -> None:
        """Load the library; harmless when another instance was faster."""
        try:
            self.client.function_load(self._library.code)
        except Exception as error:
            if "already exists" not in str(error):
                raise
