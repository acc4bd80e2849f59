"""What Runs in threads and coroutines print and log, sorted by Run: standard streams and logging look at the current Run."""

import io
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from scheduler.core.clock import now_ms
from scheduler.worker.context import running
from scheduler.worker.runlog import RunLog

Save = Callable[[str, str, int], None]


class Outputs:
    """The logs of the Runs at work. ``save(run, tail, bytes_in_all)`` publishes a tail, so that others can follow it live."""

    def __init__(self, folder: Path, save: Save) -> None:
        self._folder = folder
        self._save = save
        self._lock = threading.Lock()
        self._open: dict[str, RunLog] = {}
        self._saved: dict[str, int] = {}
        self._attempts: dict[str, int] = {}

    def open(self, run: str, attempt: int) -> Callable[[bytes], None]:
        """Where this Run's output goes; the file is made with the first byte."""
        with self._lock:
            return self._log(run, attempt).write

    def expect(self, run: str, attempt: int) -> None:
        """A process slot will write for this attempt."""
        self._attempts[run] = attempt

    def write(self, run: str, data: bytes) -> None:
        """Output of a process slot."""
        with self._lock:
            log = self._log(run, self._attempts.get(run, 1))
        log.write(data)

    def close(self, run: str) -> None:
        """The attempt is over: publish the last of it."""
        if self._attempts:
            self._attempts.pop(run, None)
        if run not in self._open:
            return
        with self._lock:
            log = self._open.pop(run)
            self._saved.pop(run, None)
        self._publish(run, log)
        log.close()

    def publish_new(self) -> None:
        """Publish the tails that have grown since the last time."""
        with self._lock:
            grown = [(run, log) for run, log in self._open.items() if log.total != self._saved.get(run, 0)]
            self._saved.update((run, log.total) for run, log in grown)
        for run, log in grown:
            self._publish(run, log)

    def _publish(self, run: str, log: RunLog) -> None:
        try:
            self._save(run, log.tail().decode(errors="replace"), log.total)
        except Exception as error:  # the file has it all; the store will get the next tail
            logging.getLogger("scheduler.worker").warning("the tail of %s's log could not be published: %s", run, error)

    def _log(self, run: str, attempt: int) -> RunLog:
        log = self._open.get(run)
        if log is None:
            log = self._open[run] = RunLog(log_path(self._folder, run, attempt))
        return log


def log_path(folder: Path, run: str, attempt: int) -> Path:
    """``logs/runs/2026-12-25/<run>.<attempt>.log``; ids are checked where they enter, so they are safe as names."""
    day = datetime.fromtimestamp(now_ms() / 1000, UTC).date().isoformat()
    return folder / "runs" / day / f"{run}.{attempt}.log"


class RunStream(io.TextIOBase):
    """Stands in for sys.stdout or sys.stderr: inside a Run its text goes to that Run's log, elsewhere to the real stream."""

    def __init__(self, real: TextIO) -> None:
        self._real = real

    def write(self, text: str) -> int:
        context = running()
        if context is None or not context.write(text.encode(errors="replace")):
            return self._real.write(text)
        return len(text)

    def flush(self) -> None:
        self._real.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._real.fileno()


class RunLogHandler(logging.Handler):
    """Sends log records made inside a Run to that Run's log. Records of others pass by, but never vanish for want of another handler."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        context = running()
        if context is None:
            self._pass_on(record)
            return
        try:
            context.write((self.format(record) + "\n").encode(errors="replace"))
        except Exception:
            self.handleError(record)

    def _pass_on(self, record: logging.LogRecord) -> None:
        """Where nobody has configured logging, warnings go to stderr: Python does that only while there is no handler at all."""
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and logging.getLogger().handlers == [self]:
            last.handle(record)
