"""The fork server: a small process with one thread that forks slot children, and sees to it that none of their trees survives.

Forking a process with threads can deadlock the copy; this one never has any. Because it is the parent of every slot child
and, as subreaper, of every orphan of theirs, it may signal them without fear that the number was reused: only it can reap.
"""

import gc
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from scheduler.core.clock import monotonic
from scheduler.core.ports import Resolver
from scheduler.worker import process_tree
from scheduler.worker.child import live, open_resolver
from scheduler.worker.process_tree import PEAK_UNIT_BYTES
from scheduler.worker.wire import LineBuffer, pack

STRAY_PATIENCE_S = 0.5  # how long the end of a child is held back until its orphans are gone
FAREWELL_S = 5.0


class Zygote:
    """Serves ``["fork", slot]`` with two file descriptors, and ``["signal", slot, number]``.

    Answers ``["forked", slot, pid]``, ``["failed", slot, why]``, ``["signalled", slot]`` and, when a child and all its orphans
    are gone, ``["exited", slot, exit_code, peak_bytes]``. The end of the connection ends everything.
    """

    def __init__(self, connection: socket.socket, alarm: socket.socket, settings: Mapping[str, Any], resolve: Resolver | None) -> None:
        self._runner = os.getppid()
        self._connection = connection
        self._alarm = alarm  # readable after SIGCHLD
        self._settings = settings
        self._resolve = resolve
        self._buffer = LineBuffer()
        self._fds: list[int] = []  # received, not yet given to a child
        self._pids: dict[int, int] = {}  # slot → pid
        self._slots: dict[int, int] = {}  # pid → slot
        self._exits: list[list[Any]] = []
        self._strays = False
        self._held_until = 0.0

    def serve(self) -> None:
        """Until the runner is gone; then end all children. A copy that user code forked off it may hold our connection open."""
        while True:
            ready = select.select([self._connection, self._alarm], [], [], 0.05 if self._strays else None)[0]
            if self._alarm in ready:
                self._alarm.recv(4096)
            self._tidy()
            if (self._connection in ready and not self._receive()) or os.getppid() != self._runner:
                return self._farewell()

    def _receive(self) -> bool:
        try:
            data, fds, _, _ = socket.recv_fds(self._connection, 65536, 64)
        except ConnectionError:
            return False
        self._fds += fds
        for verb, slot, *arguments in self._buffer.feed(data):
            if verb == "fork":
                self._fork(slot, self._fds.pop(0), self._fds.pop(0))
            else:
                self._signal(slot, *arguments)
                self._send(["signalled", slot])
        return bool(data)

    def _send(self, message: list[Any]) -> None:
        with suppress(ConnectionError):  # the runner is gone; the next receive says so
            self._connection.sendall(pack(message))

    def _fork(self, slot: int, control: int, output: int) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._send(["failed", slot, f"cannot fork: {error}"])
        else:
            if pid == 0:
                self._become_child(parent, control, output)
            self._pids[slot], self._slots[pid] = pid, slot
            self._send(["forked", slot, pid])
        os.close(control)
        os.close(output)

    def _become_child(self, parent: int, control: int, output: int) -> NoReturn:
        try:
            os.setsid()
            process_tree.on_parents_death(signal.SIGKILL)
            process_tree.adopt_orphans()
            if os.getppid() != parent:  # it died before we asked to die with it
                os._exit(1)
            self._keep_only(control, output)
            live(socket.socket(fileno=control), self._settings, self._resolve)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(70)

    def _keep_only(self, control: int, output: int) -> None:
        """Give up what makes this process the fork server: its sockets and its signal handlers."""
        os.close(signal.set_wakeup_fd(-1))
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for fd in (output, *self._fds):
            os.close(fd)
        self._connection.close()
        self._alarm.close()
        os.set_inheritable(control, False)

    def _signal(self, slot: int, number: int) -> None:
        """To the child's whole group; KILL also to the rest of its tree where orphans would not come to us."""
        pid = self._pids.get(slot)
        if pid is None:
            return
        rest = process_tree.descendants(pid) if number == signal.SIGKILL and not process_tree.ADOPTS else []
        with suppress(OSError):  # too early: it has not yet become a group leader
            os.killpg(pid, number)
        for each in (pid, *rest):
            with suppress(OSError):
                os.kill(each, number)

    def _tidy(self) -> None:
        """Reap what has ended, kill what it left behind, and report a child when both are done."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            self._reaped(pid, status, usage.ru_maxrss)
        self._strays = self._kill_strays()
        if self._exits and (not self._strays or monotonic() >= self._held_until):
            for message in self._exits:
                self._send(message)
            self._exits = []

    def _reaped(self, pid: int, status: int, peak: int) -> None:
        slot = self._slots.pop(pid, None)
        if slot is not None:
            del self._pids[slot]
            if not self._exits:
                self._held_until = monotonic() + STRAY_PATIENCE_S
            self._exits.append(["exited", slot, os.waitstatus_to_exitcode(status), peak * PEAK_UNIT_BYTES])

    def _kill_strays(self) -> bool:
        """Orphans of dead children have become ours; theirs become ours when they die. True while there are any."""
        strays = [pid for pid in process_tree.children(os.getpid()) if pid not in self._slots]
        for pid in strays:
            with suppress(PermissionError):  # it became somebody else
                os.kill(pid, signal.SIGKILL)
        return bool(strays)

    def _farewell(self) -> None:
        for slot in self._pids:
            self._signal(slot, signal.SIGKILL)
        deadline = monotonic() + FAREWELL_S
        while (self._slots or self._strays) and monotonic() < deadline:
            if select.select([self._alarm], [], [], 0.05)[0]:
                self._alarm.recv(4096)
            self._tidy()


def main() -> None:
    """``python -m scheduler.worker.zygote FD``: FD is the connection; its first line says what the children need to know."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    alarm = _alarm()
    process_tree.adopt_orphans()
    process_tree.on_parents_death(signal.SIGCHLD)  # wakes us as the end of a child does
    with connection.makefile("rb", buffering=0) as first:
        settings = LineBuffer().feed(first.readline())[0]
    del sys.argv[1:]  # not the business of user code
    os.environ.pop("PYTHONPATH", None)
    os.environ.update(settings["env"])
    Zygote(connection, alarm, settings, _try_resolver(settings)).serve()


def _alarm() -> socket.socket:
    """Readable whenever a child has ended. TERM is ignored: a service manager sends it to all, and our end is that of the runner."""
    readable, writable = socket.socketpair()
    writable.setblocking(False)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writable.detach(), warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return readable


def _try_resolver(settings: Mapping[str, Any]) -> Resolver | None:
    """Imported once for all children; a failure is theirs to report, as the end of a Run."""
    try:
        resolve = open_resolver(settings)
    except Exception:
        resolve = None
    gc.collect()
    gc.freeze()  # what is shared is not written to by a collection in a child
    return resolve


if __name__ == "__main__":
    main()
