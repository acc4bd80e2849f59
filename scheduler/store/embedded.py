"""The embedded server's launcher: one server per data directory, shared by every process that uses it, stopped by the last."""

import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from scheduler.core.clock import monotonic, sleep
from scheduler.core.errors import StoreError
from scheduler.store import recipe
from scheduler.store.binary import find_server
from scheduler.store.locks import FileLock
from scheduler.store.places import Places

START_LIMIT_S = 10.0
LOADING_LIMIT_S = 300.0  # a server that answers LOADING is well: 200,000 Runs take 0.7 s, but it may have many millions
STOP_LIMIT_S = 10.0
_POLL_S = 0.002  # a cold start takes 37-78 ms
_ANSWER_LIMIT_S = 1.0


class EmbeddedServer:
    """The server of one data directory.

    The server process holds ``server.lock``, inherited as an open file: the lock is free exactly when no server lives, whatever
    became of who started it. So a start finds the living server and adopts it; of two simultaneous starts one gets the lock.
    Every user holds a share of ``users.lock``; whoever can take all of it at ``stop`` was the last, and shuts the server down.
    """

    def __init__(self, data_dir: Path, *, binary: Path | None = None) -> None:
        self.places = Places(data_dir)
        self.adopted = False
        self._binary = binary
        self._users = FileLock(self.places.users_lock)

    @property
    def url(self) -> str:
        """``unix://…`` of the newest server; its socket is told by whoever started it."""
        return f"unix://{quote(self.places.server_lock.read_bytes())}"

    @property
    def pid(self) -> int | None:
        """The server's process id; None when no server lives."""
        try:
            return None if self._is_gone() else int(self.places.pid_file.read_text())
        except (OSError, ValueError):
            return None

    def start(self) -> str:
        """Start or adopt the server and return its URL. Called again, it starts a server that has died anew. Raises StoreError."""
        newcomer = not self._users.held
        try:
            self.places.prepare()
            self._enter()
            spawned = self._bring_up()
        except BaseException as exc:
            self._users.release()
            if isinstance(exc, OSError | subprocess.SubprocessError):
                raise self._failure(str(exc)) from exc
            raise
        if newcomer or spawned:
            self.adopted = not spawned
        return self.url

    def stop(self) -> None:
        """Stop using the server; the last user shuts it down and waits until its data is on disk. Harmless when called twice."""
        if not self._users.held:
            return
        try:
            if self._users.try_last():
                self._shut_down()
        finally:
            self._users.release()

    def _enter(self) -> None:
        deadline = monotonic() + STOP_LIMIT_S + 1
        while not self._users.held and not self._users.take(shared=True):
            if monotonic() > deadline:
                raise self._failure("another process has been shutting the server down for too long")
            sleep(_POLL_S)

    def _bring_up(self) -> bool:
        """Wait until a server answers; true when it is one that we started."""
        began, limit, spawned = monotonic(), START_LIMIT_S, False
        while not (answer := self._ask(b"PING")) or answer.startswith(b"-LOADING"):
            lock = FileLock(self.places.server_lock)
            if answer:
                limit = LOADING_LIMIT_S
            elif lock.take():
                if spawned:
                    lock.release()
                    raise self._failure("its server ended during the start")
                self._spawn(lock)
                spawned = True
            if monotonic() - began > limit:
                raise self._failure(f"its server (pid {self.pid}) does not answer")
            sleep(_POLL_S)
        return spawned

    def _ask(self, command: bytes) -> bytes:
        """The answer to an inline command, empty where none comes; without redis-py, whose import a poll every 2 ms must not cost."""
        with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_LIMIT_S)
            connection.connect(self.places.server_lock.read_bytes())
            connection.sendall(command + b"\r\n")
            return connection.recv(512)
        return b""

    def _is_gone(self) -> bool:
        lock = FileLock(self.places.server_lock)
        gone = lock.take()
        lock.release()
        return gone

    def _spawn(self, lock: FileLock) -> None:
        """Start the server, which detaches itself and keeps ``lock``; its log begins anew, and the one before is put aside."""
        try:
            binary = self._binary or find_server()
            address = os.fsencode(self.places.socket())
            os.ftruncate(lock.fd, 0)
            os.pwrite(lock.fd, address, 0)
            self.places.config.write_text(recipe.configuration(self.places, address))
            if self.places.log.is_file():
                self.places.log.replace(self.places.log.with_suffix(".log.1"))
            launch = recipe.launch([str(binary), str(self.places.config)], lock.fd)
        finally:
            lock.release()
        if launch.returncode:
            said = (launch.stdout + launch.stderr).decode(errors="replace").strip()
            raise self._failure(f"{binary} ended with {launch.returncode}: {said}")

    def _shut_down(self) -> None:
        deadline = monotonic() + STOP_LIMIT_S
        answer = self._ask(b"SHUTDOWN NOSAVE")  # no word says yes; the append-only file is flushed and synced all the same
        while not self._is_gone():
            if answer or monotonic() > deadline:
                raise self._failure(f"its server (pid {self.pid}) does not end: {answer.decode(errors='replace').strip()}")
            sleep(_POLL_S)

    def _failure(self, what: str) -> StoreError:
        log = recipe.tail(self.places.log)
        last = f"\nthe last lines of {self.places.log}:\n{log}" if log else ""
        return StoreError(f"the embedded store in {self.places.data_dir} is not usable: {what}. Cure: {recipe.cure(what + log)}{last}")
