"""The fork server: a small process with one thread that forks slot children, and sees to it that none of their trees survives.

Forking a process with threads can deadlock the copy; this one never has any. Because it is the parent of every slot child
and, as subreaper, of every orphan of theirs, it may signal them without fear that the number was reused: only it can reap.
"""

import gc
import os
import pkgutil
import select
import signal
import socket
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

from scheduler.core.clock import monotonic, sleep
from scheduler.core.ports import Resolver
from scheduler.worker import process_tree
from scheduler.worker.child import live
from scheduler.worker.wire import LineBuffer, pack

STRAY_PATIENCE_S = 0.5  # how long the end of a child is held back until its orphans are gone
FAREWELL_S = 5.0


class Zygote:
    """Serves ``["fork"]`` and ``["signal", pid, number]``. The end of ``line`` ends everything.

    With ``fork`` come three descriptors: where the child prints, where we tell ``[exit_code, peak_bytes]`` once it and all its orphans
    are gone, and its control socket. The answer is its pid, or a text that says why there is none.
    """

    def __init__(self, line: socket.socket, alarm: socket.socket, open_resolver: Callable[[], Resolver]) -> None:
        self._runner, self._pid = os.getppid(), os.getpid()
        self._line = line
        self._alarm = alarm  # readable after SIGCHLD
        self._open_resolver = open_resolver
        self._buffer = LineBuffer()
        self._children: dict[int, int] = {}  # pid → where its end is told
        self._exits: list[tuple[int, bytes]] = []  # not yet told
        self._held_until = 0.0

    def serve(self) -> None:
        """Until the runner is gone; then end all children. A copy that user code forked off it may hold our line open."""
        connected = True
        while connected and os.getppid() == self._runner:
            strays = self._tidy()
            ready = select.select([self._line, self._alarm], [], [], 0.05 if strays else 1.0)[0]
            if self._alarm in ready:
                self._alarm.recv(4096)
            if self._line in ready:
                connected = self._obey()
        for pid in self._children:
            self._signal(pid, signal.SIGKILL)
        self._children.clear()  # they are strays like all others now
        deadline = monotonic() + FAREWELL_S
        while self._tidy() and monotonic() < deadline:
            sleep(0.01)

    def _obey(self) -> bool:
        """Do what the runner asks; False when it has hung up."""
        try:
            data, fds, _, _ = socket.recv_fds(self._line, 65536, 3)
            for verb, *arguments in self._buffer.feed(data):
                if verb == "fork":
                    self._line.sendall(pack(self._fork(*fds)))
                else:
                    self._signal(*arguments)
        except ConnectionError:
            return False
        return bool(data)

    def _fork(self, output: int, status: int, control: int) -> int | str:
        try:
            pid = os.fork()
            if pid == 0:
                self._become_child(output, status, control)
        except OSError as error:
            os.close(status)
            return f"cannot fork: {error}"
        finally:
            os.close(control)
            os.close(output)
        self._children[pid] = status
        return pid

    def _become_child(self, output: int, status: int, control: int) -> NoReturn:
        try:
            os.setsid()
            process_tree.on_parents_death(signal.SIGKILL)
            process_tree.adopt_orphans()
            if os.getppid() != self._pid:  # it died before we asked to die with it
                os._exit(1)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.set_inheritable(control, False)
            self._forget(output, status)
            live(socket.socket(fileno=control), self._open_resolver)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(70)

    def _forget(self, *fds: int) -> None:
        """Give up what makes this process the fork server: its descriptors and its signal handlers."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for fd in (*fds, signal.set_wakeup_fd(-1), *self._children.values(), *(fd for fd, _ in self._exits)):
            os.close(fd)
        self._line.close()
        self._alarm.close()

    def _signal(self, pid: int, number: int) -> None:
        """To the child's whole group; KILL also to the rest of its tree where orphans would not come to us."""
        if pid not in self._children:
            return
        rest = process_tree.descendants(pid) if number == signal.SIGKILL and not process_tree.ADOPTS else []
        with suppress(OSError):  # too early: it has not yet become a group leader
            os.killpg(pid, number)
        for each in (pid, *rest):
            with suppress(OSError):
                os.kill(each, number)

    def _tidy(self) -> bool:
        """Reap what has ended, kill what it left behind, and report a child when both are done. Whether strays are left."""
        with suppress(ChildProcessError):
            while (ended := os.wait4(-1, os.WNOHANG))[0]:
                self._note_exit(*ended)
        # Orphans of dead children have become ours; theirs become ours when they die.
        strays = set(process_tree.children(self._pid)) - self._children.keys()
        for pid in strays:
            with suppress(PermissionError):  # it became somebody else
                os.kill(pid, signal.SIGKILL)
        if not strays or monotonic() >= self._held_until:
            for status, how in self._exits:
                with suppress(BrokenPipeError):
                    os.write(status, how)
                os.close(status)
            self._exits = []
        return bool(strays)

    def _note_exit(self, pid: int, status: int, usage: Any) -> None:
        if pid in self._children:
            if not self._exits:
                self._held_until = monotonic() + STRAY_PATIENCE_S
            how = os.waitstatus_to_exitcode(status), usage.ru_maxrss * process_tree.PEAK_UNIT_BYTES
            self._exits.append((self._children.pop(pid), pack(how)))


def main(line_fd: int, resolver: str, prepare: str, plugins: str) -> None:
    """The whole life of a fork server; the texts are for ``_open_resolver``."""
    line = socket.socket(fileno=line_fd)
    line.set_inheritable(False)
    alarm = _alarm()
    process_tree.adopt_orphans()
    open_resolver = cache(partial(_open_resolver, resolver, prepare, plugins))
    with suppress(Exception):  # it is tried again in the children, where it ends a Run
        open_resolver()
    gc.collect()
    gc.freeze()  # what is shared is not written to by a collection in a child
    Zygote(line, alarm, open_resolver).serve()


def _open_resolver(resolver: str, prepare: str, plugins: str) -> Resolver:
    """``resolver`` and ``prepare`` are named as ``module:function``; ``prepare``, if any, is given the plugin folder before."""
    if prepare:
        pkgutil.resolve_name(prepare)(Path(plugins))
    return cache(pkgutil.resolve_name(resolver))


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
