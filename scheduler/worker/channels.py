"""How the runner's thread hears of everything and never blocks: a child's JSON lines, what it prints, requests of other threads."""

import os
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from scheduler.core.clock import monotonic
from scheduler.worker.wire import LineBuffer

NEVER = float("inf")
_CHUNK = 64 * 1024
_ANSWER_LIMIT = 4 * 1024 * 1024  # bytes of one line from a child: a result and an error fit many times
_TRICKLE_S = 0.005  # between two chunks of output over the cap


class Control:
    """Sends frames, hands on messages. ``on_end`` is told once why no more will come: '' for an end of file, else what was wrong."""

    def __init__(self, selector: selectors.DefaultSelector, on_message: Callable[[Any], None], on_end: Callable[[str], None]) -> None:
        self._selector = selector
        self._on_message = on_message
        self._on_end = on_end
        self._buffer = LineBuffer(_ANSWER_LIMIT)
        self._unsent = b""
        self._open, self._writing = True, False
        self.unread = False  # the child ended without reading what was sent last
        self._socket, self.theirs = socket.socketpair()
        self._socket.setblocking(False)
        selector.register(self._socket, selectors.EVENT_READ, self._ready)

    def send(self, frame: bytes) -> None:
        self._unsent += frame
        self._push()

    def drain(self) -> None:
        """Take everything that has arrived."""
        while self._open and self._take():
            pass

    def hang_up(self) -> None:
        """Tell the child that nothing follows."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._end(None)
        self._socket.close()

    def _ready(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE and self._open:  # another event of the same round may have closed us
            self._push()
        if mask & selectors.EVENT_READ and self._open:
            self._take()

    def _push(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self.unread, self._unsent = True, b""
        if self._open and bool(self._unsent) != self._writing:
            self._writing = not self._writing
            self._selector.modify(self._socket, selectors.EVENT_READ | (selectors.EVENT_WRITE if self._writing else 0), self._ready)

    def _take(self) -> bool:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # Linux: reset, because unread data was thrown away with the other end
            data, self.unread = b"", True
        if not data:
            self._end("")
            return False
        try:
            for message in self._buffer.feed(data):
                self._on_message(message)
        except (ValueError, TypeError, RecursionError) as error:
            self._end(f"broke its control channel: {error}")
        return True

    def _end(self, why: str | None) -> None:
        if self._open:
            self._open = False
            self._selector.unregister(self._socket)
            if why is not None:
                self._on_end(why)


class Requests:
    """What other threads want done on the runner's thread."""

    def __init__(self, selector: selectors.DefaultSelector) -> None:
        self._actions: deque[Callable[[], None]] = deque()
        self._woken = self._closed = False
        self._taker = 0  # the thread that needs no waking
        self._bell, self._button = socket.socketpair()
        selector.register(self._bell, selectors.EVENT_READ, self._hear)

    @property
    def due(self) -> float:
        """When ``take`` wants to be called: at once when its own thread has asked, or an error has kept it from its work."""
        return 0.0 if self._actions else NEVER

    def add(self, action: Callable[[], None]) -> None:
        """From any thread. After ``close`` it is done here and now."""
        self._actions.append(action)
        if self._closed:
            self.take()
        elif not self._woken and threading.get_ident() != self._taker:
            self._woken = True
            with suppress(OSError):  # closed just now; close() takes it
                self._button.send(b"!")

    def take(self) -> None:
        self._taker = threading.get_ident()
        while action := self._next():
            action()

    def close(self) -> None:
        self._closed = True
        self._bell.close()
        self._button.close()
        self.take()

    def _next(self) -> Callable[[], None] | None:
        try:
            return self._actions.popleft()
        except IndexError:
            return None

    def _hear(self, _mask: int) -> None:
        self._bell.recv(4096)
        self._woken = False


class Output:
    """Takes what the child prints: at full speed up to ``cap`` bytes a Run, then in a trickle: a flood slows down its source alone."""

    def __init__(self, selector: selectors.DefaultSelector, deliver: Callable[[bytes], None], cap: int) -> None:
        self._selector = selector
        self._deliver = deliver
        self._cap = cap
        self._taken = 0
        self._watched = False
        self.resume_at = NEVER  # ``monotonic`` seconds
        self._fd, self.theirs = os.pipe()
        os.set_blocking(self._fd, False)
        self._watch(True)

    def restart(self) -> None:
        """A new Run begins: what is still here belongs to nobody."""
        self._taken = 0
        if self.resume_at < NEVER:
            self.resume()

    def resume(self) -> None:
        self.resume_at = NEVER
        self._watch(True)

    def drain(self) -> None:
        """Take what is in the pipe; a writer that goes on is not followed."""
        for _ in range(4):
            if not self._take():
                return

    def close(self) -> None:
        self._watch(False)
        self.resume_at = NEVER
        os.close(self._fd)

    def _watch(self, wanted: bool) -> None:
        if wanted != self._watched:
            self._watched = wanted
            if wanted:
                self._selector.register(self._fd, selectors.EVENT_READ, self._ready)
            else:
                self._selector.unregister(self._fd)

    def _ready(self, _mask: int) -> None:
        if self._watched and self._take() and self._taken > self._cap:
            self._watch(False)
            self.resume_at = monotonic() + _TRICKLE_S

    def _take(self) -> bool:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._watch(False)
            return False
        self._taken += len(data)
        self._deliver(data)
        return True
