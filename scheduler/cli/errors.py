"""Errors as their reader needs them: a message on stderr and an exit code; the traceback of what nobody expected goes to a file."""

import errno
import os
import tempfile
import traceback
from pathlib import Path

import typer

from scheduler.cli.session import Session
from scheduler.core.errors import ConfigError, ParamsError, SchedulerError, StoreError, UnknownTaskError

FAILED, USAGE = 1, 2
_USAGE = (ConfigError, ParamsError, StoreError, UnknownTaskError)


def is_typers(error: Exception) -> bool:
    """Whether typer itself knows what to do: wrong usage, an exit, a reader that closed the pipe."""
    return hasattr(error, "exit_code") or isinstance(error, typer.Abort) or getattr(error, "errno", 0) == errno.EPIPE


def explain(session: Session, error: Exception) -> int:
    """Tell the user; the exit code."""
    if session.debug:
        traceback.print_exception(error)
    if isinstance(error, SchedulerError):
        session.out.problem("{error}", error=session.out.message(error))
    else:
        session.out.problem("unexpected {kind}: {error}", kind=type(error).__name__, error=error)
        session.out.note("The whole story is in {file}; --debug shows it here.", file=_written(session, error))
    return USAGE if isinstance(error, _USAGE) else FAILED


def _written(session: Session, error: Exception) -> Path:
    """Where the traceback is: beside the logs, without secrets, or where anybody can write if even the settings are at fault."""
    text = "".join(traceback.format_exception(error))
    try:
        from scheduler.cli.secret_values import mask_for

        text = mask_for(session.settings).mask(text)
        return _appended(session.settings.logging.dir, text)
    except Exception:
        return _appended(Path(tempfile.mkdtemp(prefix="scheduler-")), text)


def _appended(folder: Path, text: str) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "cli.log"
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as log:  # noqa: PTH123  # a descriptor
        log.write(text + "\n")
    return file
