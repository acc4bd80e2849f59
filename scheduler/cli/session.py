"""One invocation of the command line: what its global options say, the way to the centre, and instants in the centre's zone."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import typer

from scheduler.cli.screen import Screen
from scheduler.core.language import Language
from scheduler.core.units import duration_ms

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter
    from scheduler.settings import Settings


@dataclass
class Session:
    """What every verb is given as ``ctx.obj``."""

    config: Path | None = None
    lang: Language = "en"
    as_json: bool = False
    debug: bool = False
    program: str = "scheduler"  # how it was called: what advice names

    @cached_property
    def out(self) -> Screen:
        return Screen(self.lang, as_json=self.as_json, program=self.program)

    @cached_property
    def settings(self) -> "Settings":
        """Read at the first use; ConfigError with every mistake."""
        from scheduler.settings import load_settings

        if not (self.config or Path("env.yaml").exists()):
            self.out.note("no env.yaml in {folder}; using defaults (-c names another)", folder=Path.cwd())
        return load_settings(self.config)

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.settings.scheduler.timezone)

    def when(self, ms: float | None) -> datetime | None:
        """An instant in the centre's zone; None for 0 and None."""
        return datetime.fromtimestamp(ms / 1000, UTC).astimezone(self.zone) if ms else None

    def instant(self, text: str, option: str) -> datetime:
        """``2026-12-25 09:00`` in the centre's zone, or with an offset of its own."""
        try:
            moment = datetime.fromisoformat(text)
            if not 1970 < moment.year < 9999:  # at the ends a zone's offset leads out of what a datetime or the store can hold
                raise typer.BadParameter(f"{text!r} is no instant of the years 1971 to 9998", param_hint=option)
        except ValueError:
            message = f"{text!r} is no instant; write 2026-12-25T09:00, or with an offset 2026-12-25T09:00+08:00"
            raise typer.BadParameter(message, param_hint=option) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=self.zone)


def seconds(value: object) -> float:
    """What ``5m``, ``1.5`` or a default stand for."""
    try:
        return duration_ms(value) / 1000
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@contextmanager
def opened(ctx: typer.Context) -> Iterator[tuple[Session, "SchedulerCenter"]]:
    """The session and its centre. An embedded store that nobody else uses lives only as long as this; StoreError when it fails."""
    from scheduler.center import SchedulerCenter

    session: Session = ctx.obj
    center = SchedulerCenter(session.settings)
    try:
        yield session, center
    except Exception as error:
        if not type(error).__module__.startswith("redis."):
            raise
        from scheduler.store.connect import read_error

        raise read_error(error, center.store.url) from error
    finally:
        center.shutdown()
