"""A TCP line to the server that can be cut, fall silent, or lose replies."""

import socket
import threading
from contextlib import suppress
from random import Random
from typing import Literal

from scheduler.core.clock import sleep

Mode = Literal["pass", "hole", "cut"]
Pair = tuple[socket.socket, socket.socket]


class Proxy:
    """Listens on a free loopback port and speaks to a unix socket.

    ``mode`` ``hole``: bytes stay on their way until it is over, as in a network that drops packets; connections open, nothing is
    answered. ``cut``: connections break, new ones too. ``lose`` (0…1): the share of replies whose connection breaks instead.
    ``delay_s``: how long each reply takes.
    """

    def __init__(self, upstream: str, seed: int = 1) -> None:
        self.lose = self.delay_s = 0.0
        self.lost = 0
        self._upstream = upstream
        self._random = Random(seed)
        self._open = threading.Event()
        self._open.set()
        self._mode: Mode = "pass"
        self._closed = False
        self._pairs: list[Pair] = []
        self._dead: set[Pair] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "hole":
            self._open.clear()
        else:
            self._open.set()
        if mode == "cut":
            self._break_all()

    def vanish(self) -> None:
        """As when the host behind an address is another one now: nobody answers, nobody says goodbye; new connections are fine."""
        self._dead |= set(self._pairs)

    def close(self) -> None:
        self._closed = True
        self._open.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._break_all()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.wait()
        server = socket.socket(socket.AF_UNIX)
        try:
            if self._mode == "cut":
                raise ConnectionError
            server.connect(self._upstream)
        except OSError:
            client.close()
            server.close()
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (client, server)
        self._pairs.append(pair)
        threading.Thread(target=self._pump, args=(pair, client, server, False), daemon=True).start()
        self._pump(pair, server, client, True)

    def _pump(self, pair: Pair, source: socket.socket, target: socket.socket, replies: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._open.wait()
                if pair in self._dead:
                    continue
                if replies and self.lose and self._random.random() < self.lose:
                    self.lost += 1
                    break
                if replies and self.delay_s:
                    sleep(self.delay_s)
                target.sendall(data)
            self._open.wait()  # in a hole, the end of a connection is not seen either
        if pair not in self._dead or self._closed:
            self._break(pair)

    def _break_all(self) -> None:
        for pair in list(self._pairs):
            self._break(pair)

    def _break(self, pair: Pair) -> None:
        with suppress(ValueError):
            self._pairs.remove(pair)
        for end in pair:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
