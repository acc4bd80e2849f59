"""The Redis function library: one Lua file per verb, loaded on demand under a name made of its content.

Two versions of the product on one Redis load two libraries side by side, so nobody up- or downgrades the other.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

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


class Functions:
    """Calls verbs by name: ``call("cancel", run, reason)``. ``now`` stands in for the server's clock in tests."""

    def __init__(self, client: Any, prefix: str) -> None:
        self.client = client
        self.prefix = prefix
        self.now: int | str = ""
        self._library = library()

    def call(self, verb: str, *args: Any) -> Any:
        """One FCALL. The library is loaded when the server says that it does not know it (new server, FUNCTION FLUSH)."""
        if verb not in self._library.verbs:
            raise ValueError(f"{verb!r} is no verb of the queue: {', '.join(self._library.verbs)}")
        name = f"{self._library.name}_{verb}"
        try:
            return self.client.fcall(name, 1, self.prefix, self.now, *args)
        except Exception as error:
            if "Function not found" not in str(error):
                raise
        self.load()
        return self.client.fcall(name, 1, self.prefix, self.now, *args)

    def load(self) -> None:
        """Load the library; harmless when another instance was faster."""
        try:
            self.client.function_load(self._library.code)
        except Exception as error:
            if "already exists" not in str(error):
                raise
