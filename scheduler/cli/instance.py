"""An instance in a terminal: its log, its banner, a line for each thing worth telling, and the words at its end."""

import fcntl
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from heapq import nsmallest
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from scheduler import __version__
from scheduler.catalogue import trigger_of
from scheduler.center import SchedulerCenter
from scheduler.cli.printer import Printer
from scheduler.cli.secret_values import mask_for
from scheduler.cli.session import Session
from scheduler.core.errors import ConfigError
from scheduler.observe.console import BannerInfo, banner
from scheduler.observe.logs import configure_logging
from scheduler.service import INTERRUPT_GRACE_S, OwnEvents, Service

if TYPE_CHECKING:
    from scheduler.web import WebServer


class Instance(Service):
    """The service, with somebody at the terminal."""

    def __init__(self, session: Session, roles: Sequence[str]) -> None:
        self._session, self._out = session, session.out
        self._color = sys.stdout.isatty()
        write = _cropped if self._color else typer.echo
        self._printer = Printer(write, session.lang, color=self._color, zone=session.zone)
        self._web: WebServer | None = None
        super().__init__(SchedulerCenter(session.settings), roles, [self._printer])

    def stay(self, told: str = "") -> int:
        """From the first word to the last; ``told`` stands in for the banner. The exit code."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # until ``run`` knows how to stop in order
        _log_to_files(self._session)
        try:
            addresses = self._begin()
            typer.echo(told or self._banner(addresses))
            return self.run()
        finally:
            self._leave()

    def _begin(self) -> list[str]:
        """Start all roles; the addresses they can be reached at."""
        if "web" not in self.roles:
            self.start()
            return []
        from scheduler.observe.metrics import Metrics
        from scheduler.web.server import WebServer, listen

        web = self.center.settings.web
        listen(web.host, web.port).close()  # refused before anything runs
        threading.Thread(target=import_module, args=["scheduler.web.app"], daemon=True).start()  # while the plugins are probed
        metrics = Metrics()
        metrics.relabel({name: task.metric for name, task in self.center.catalogue.tasks.items() if task.metric})
        self.watchers = [*self.watchers, OwnEvents(self.center, metrics)]
        self.start()
        self._web = WebServer(self.center, self, metrics)
        return [self._web.start()]

    def _leave(self) -> None:
        """Harmless where all has ended in order; otherwise nothing is left behind."""
        if self._web:
            self._web.stop()
        if self.supervisor:
            self.supervisor.kill()
        self.center.shutdown(wait=False)
        self._printer.close()

    def _banner(self, addresses: list[str]) -> str:
        store, catalogue = self.center.store, self.center.catalogue
        info = BannerInfo(
            name=self.center.settings.scheduler.name,
            version=__version__,
            store="remote" if store.server is None else "adopted" if store.server.adopted else "embedded",
            store_url=store.url,
            tasks=len(catalogue.tasks),
            broken={name: self._out.message(reason) for name, reason in catalogue.broken.items()},
            fires=self._next_fires(5) if "timer" in self.roles else (),
            addresses=addresses,
            zone=self._session.zone,
            grace_s=min(self._grace_s, INTERRUPT_GRACE_S),
            program=self._session.program,
        )
        return banner(info, self._session.lang, self._color) + "\n"

    def _next_fires(self, most: int) -> list[tuple[int, str]]:
        book = self.center.book
        now_ms, paused = book.now_ms(), book.paused_schedules()
        known = [(schedule, fired) for name, (schedule, fired) in book.load_schedules().items() if name not in paused]
        fires = ((trigger_of(schedule).next(max(fired.last_ms, now_ms)), schedule.name) for schedule, fired in known)
        return nsmallest(most, ((instant_ms, name) for instant_ms, name in fires if instant_ms is not None))

    def _end(self) -> int:
        if self.supervisor:
            self.supervisor.drain(self._grace_s)  # before the store is asked: it may be the reason of the end
        self._printer.say("\r" + self._parting())
        code = super()._end()
        self._printer.say(self._out.tr("stopped at once; what ran will run again" if code else "stopped"))
        return code

    def _parting(self) -> str:
        try:
            held = self.center.stats()["workers"]
        except Exception:  # without its store the end must come all the same
            held = {}
        running = sum(held.get(worker, 0) for worker in self.workers)
        text = "stopping: {count} at work may finish within {grace:g} s (Ctrl-C again: at once)" if running else "stopping"
        return self._out.tr(text, count=running, grace=self._grace_s)


def _cropped(line: str) -> None:
    """One line on the terminal, whatever its width."""
    from rich.console import Console
    from rich.text import Text

    Console().print(Text.from_ansi(line), no_wrap=True, overflow="ellipsis")


def _log_to_files(session: Session) -> None:
    """The log of this process: on stderr, and in a file of its own, for two processes would lose each other's lines."""
    settings = session.settings.logging
    level = "DEBUG" if session.debug else settings.level
    try:
        name = _free_name(settings.dir)
    except OSError as error:
        raise ConfigError(
            [f"logging.dir: {str(settings.dir)!r} cannot be written ({error.strerror}); name a folder of your own"]
        ) from error
    configure_logging(level, settings.dir, settings.format, name=name, secrets=mask_for(session.settings), zone=session.zone)
    logging.getLogger("scheduler.timing.timer.apscheduler").setLevel(logging.WARNING)  # it says that "the scheduler" has started


def _free_name(folder: Path) -> str:
    """``scheduler``, or with a number where other processes of this machine log under that; its lock ends with this process."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in count(1):
        lock = os.open(folder / f".scheduler-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            break
    return "scheduler" if number == 1 else f"scheduler-{number}"
