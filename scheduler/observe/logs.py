"""Log records of the standard library formatted by structlog: readable on a terminal, JSON lines otherwise and in files."""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from functools import partial
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, TextIO, cast, get_args

import structlog
from structlog.typing import EventDict, Processor

from scheduler.core.errors import ConfigError
from scheduler.core.nearest import did_you_mean
from scheduler.observe.event_log import LOGGER
from scheduler.observe.masking import RECORD_ATTRIBUTES
from scheduler.observe.safe_text import indented, json_escape, one_line
from scheduler.observe.vocabulary import instant

Format = Literal["auto", "pretty", "json"]
Context = Callable[[], Mapping[str, object]]
_MakeFormatter = Callable[[list[Processor]], logging.Formatter]

FILE_BYTES = 10 * 2**20
FILES_KEPT = 5
_MARK = "scheduler:"  # the names of our handlers, so that a second call replaces those of the first


def configure_logging(  # noqa: PLR0913  # all but the first few are named by whoever gives them
    level: str = "INFO",
    directory: Path | None = None,
    fmt: Format = "auto",
    stream: TextIO | None = None,
    *,
    name: str = "scheduler",
    secrets: logging.Filter | None = None,
    context: Context = dict,
    zone: tzinfo | None = None,
) -> None:
    """Send all records from ``level`` on to ``stream`` (default: stderr) and, as JSON lines, to ``directory/<name>.log``.

    ``auto`` is ``pretty`` on a terminal and ``json`` elsewhere. Each process needs its own ``name``, for a file that two processes
    rotate loses lines. ``context()`` gives what every record shall carry (run, task, attempt …). ``zone``: of the times (default: this
    machine's). ConfigError for an unknown level or format, or a directory that cannot be written. A second call replaces what the first
    one set up. With a directory, the lines about single Runs go to the file alone: ``serve`` has a way of its own to show them.
    """
    levels = logging.getLevelNamesMapping()
    chosen = levels[_one_of("logging.level", level.upper(), tuple(levels))]
    form = _one_of("logging.format", fmt, get_args(Format))
    handlers = [_stream_handler(stream or sys.stderr, form, partial(_formatter, context, zone))]
    if directory is not None:
        handlers[0].addFilter(lambda record: record.name != LOGGER)
        handlers.append(_file_handler(directory, name, partial(_formatter, context, zone)))
    root = logging.getLogger()
    for earlier in [each for each in root.handlers if (each.name or "").startswith(_MARK)]:
        root.removeHandler(earlier)
        earlier.close()
    for handler in handlers:
        if secrets is not None:
            handler.addFilter(secrets)
        root.addHandler(handler)
    root.setLevel(chosen)


def _one_of(place: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ConfigError([f"{place}: {value!r} is none of {', '.join(allowed)}{did_you_mean(value, allowed)}"])
    return value


def _stream_handler(stream: TextIO, fmt: str, formatter: _MakeFormatter) -> logging.Handler:
    terminal = stream.isatty()
    pretty = fmt == "pretty" or (fmt == "auto" and terminal)
    handler = logging.StreamHandler(stream)
    handler.set_name(_MARK + "stream")
    handler.setFormatter(formatter(_pretty(terminal and "NO_COLOR" not in os.environ) if pretty else _json()))
    return handler


def _file_handler(directory: Path, name: str, formatter: _MakeFormatter) -> logging.Handler:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler = _PrivateFile(directory / f"{name}.log", maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"logging.dir: {str(directory)!r} cannot be written ({error.strerror}); name a folder of your own"]) from error
    handler.set_name(_MARK + "file")
    handler.setFormatter(formatter(_json()))
    return handler


class _PrivateFile(RotatingFileHandler):
    """A rotating file that only its owner may read: logs hold parameters and tracebacks."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "a", encoding=self.encoding)


def _formatter(context: Context, zone: tzinfo | None, renderers: list[Processor]) -> logging.Formatter:
    def add_fields(_logger: Any, _method: str, event: EventDict) -> EventDict:
        record = vars(event["_record"])
        extras = {name: record[name] for name in record if name not in RECORD_ATTRIBUTES}
        return {**extras, **context(), **event}

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[add_fields, partial(_stamp, zone)],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )


def _stamp(zone: tzinfo | None, _logger: Any, method: str, event: EventDict) -> EventDict:
    """When, how grave, what, from whom, in this order before the rest; tracebacks as text."""
    record: logging.LogRecord = event["_record"]
    moment = datetime.fromtimestamp(record.created, UTC).astimezone(zone).isoformat(timespec="milliseconds")
    first = {"timestamp": moment, "level": method, "event": event.pop("event"), "logger": record.name}
    exc_info, stack = event.pop("exc_info", None), event.pop("stack_info", None)
    if exc_info or record.exc_text:
        event["exception"] = record.exc_text or logging.Formatter().formatException(exc_info)
    if stack:
        event["stack"] = stack
    return {**first, **event, **first}  # no field of somebody else's may take their place


def _json() -> list[Processor]:
    return [
        lambda _logger, _method, event: {"message" if key == "event" else key: value for key, value in event.items()},
        structlog.processors.JSONRenderer(ensure_ascii=False, sort_keys=False),
        lambda _logger, _method, text: json_escape(cast("str", text)),
    ]


def _pretty(colors: bool) -> list[Processor]:
    return [_harmless, structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=0, sort_keys=False)]


def _harmless(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Tracebacks keep their lines, any other text becomes one; the time is as people are shown it everywhere."""
    event["timestamp"] = instant(datetime.fromisoformat(event["timestamp"]))
    safe = {"exception": indented, "stack": indented}
    return {key: safe.get(key, one_line)(value) if isinstance(value, str) else value for key, value in event.items()}
