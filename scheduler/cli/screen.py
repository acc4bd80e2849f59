"""What a command prints: tables and lines for people in their language, plain JSON for programs."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from scheduler.cli.messages import translate_message
from scheduler.cli.words import translate
from scheduler.core.language import Language
from scheduler.core.units import format_ms
from scheduler.observe.vocabulary import instant, word

if TYPE_CHECKING:
    from rich.text import Text

_STYLES = dict.fromkeys(("succeeded", "ok"), "green") | dict.fromkeys(("failed", "dead", "broken"), "red")
_STYLES |= dict.fromkeys(("cancelled", "paused", "held"), "yellow") | {"running": "cyan", "delayed": "blue"}
_SIGNS = {"ok": ("✓", "green"), "none": ("–", "white"), "warn": ("!", "yellow"), "fail": ("✗", "red")}
_MACHINE_WORDS = ("state", "reason")  # columns
_WHOLE = ("id", "name", "state")  # columns: half an id is of no use
_EXCERPT = 100
_PIPE_WIDTH = 10_000  # nothing is cut or wrapped where a program reads

Facts = Mapping[str, Any]


def _iso_8601(moment: datetime) -> str:
    """With its offset."""
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")


def _readable_instant(moment: datetime) -> str:
    return instant(moment, milliseconds=bool(moment.microsecond))


class Screen:
    """Facts are JSON values and aware datetimes; a key that ends in ``_ms`` holds a duration. Data goes to stdout, words to stderr."""

    def __init__(self, lang: Language, *, as_json: bool, program: str = "scheduler") -> None:
        self.lang = lang
        self.as_json = as_json
        self.program = program

    def tr(self, text: str, **values: object) -> str:
        """``text`` in the user's language, with the values filled in; ``{program}`` is how we were called."""
        return translate(text, self.lang).format(**{"program": self.program, **values})

    def counted(self, count: int, one: str, more: str) -> str:
        """``one`` or ``more`` of something, as in ``1 task`` and ``2 tasks``."""
        return self.tr(one if count == 1 else more, count=count)

    def message(self, text: object) -> str:
        """The text of an error or a finding in the user's language."""
        return translate_message(str(text), self.lang)

    def word(self, text: object) -> str:
        """A state or reason in the user's language."""
        return word(str(text), self.lang)

    def json(self, value: object) -> None:
        typer.echo(_text(value, indent=2))

    def rows(self, rows: Sequence[Facts], columns: str, empty: str = "") -> None:
        """A list: an array of all its facts as JSON, or a table of these ``columns``."""
        if self.as_json:
            self.json(rows)
        elif rows:
            self._table(rows, columns.split())
        elif empty:
            self.note(empty)

    def record(self, facts: Facts) -> None:
        """One thing: an object as JSON, or as YAML without what says nothing."""
        if self.as_json:
            self.json(facts)
            return
        from scheduler.cli.readable import readable

        plain = json.loads(_text(facts, instants=_readable_instant))
        typer.echo(readable({key: value for key, value in plain.items() if value not in (None, "", [], {})}), nl=False)

    def done(self, text: str, facts: Facts | Sequence[Facts]) -> None:
        """What a command did: the facts as JSON, or ``text`` about each."""
        if self.as_json:
            self.json(facts)
        else:
            typer.echo("\n".join(self.tr(text, **each) for each in ([facts] if isinstance(facts, Mapping) else facts)))

    def verdict(self, level: str, text: str, advice: str = "") -> None:
        """A line with a sign for ``ok``, ``none``, ``warn`` or ``fail``, and what to do."""
        sign, color = _SIGNS[level]
        typer.echo(f"{typer.style(sign, fg=color)} {text}" + (f"\n    → {advice}" if advice else ""))

    def note(self, text: str, **values: object) -> None:
        typer.secho(self.tr(text, **values), dim=True, err=True)

    def problem(self, text: str, **values: object) -> None:
        typer.echo(f"{typer.style(self.tr('error: '), fg='red', bold=True)}{self.tr(text, **values)}", err=True)

    def _table(self, rows: Sequence[Facts], columns: Sequence[str]) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for column in columns:
            label = Text(self.tr(column.removesuffix("_ms").replace("_", " ")), no_wrap=True, overflow="ellipsis")
            table.add_column(label, no_wrap=column in _WHOLE)  # on a narrow terminal the others give way, the widest first
        for row in rows:
            table.add_row(*(self._cell(column, row.get(column)) for column in columns))
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = _PIPE_WIDTH
        console.print(table)

    def _cell(self, key: str, value: object) -> "Text":
        from rich.text import Text

        from scheduler.observe.safe_text import one_line

        text = self._words(key, value)
        style = _STYLES.get(str(value), "") if key == "state" else ""
        return Text(one_line(text, _EXCERPT), style, no_wrap=True, overflow="ellipsis")

    def _words(self, key: str, value: object) -> str:
        if value is None or value == "":
            return "–"
        if isinstance(value, bool):
            return self.tr("yes" if value else "no")
        if isinstance(value, datetime):
            return instant(value)
        if key in _MACHINE_WORDS:
            return self.word(value)
        if key.endswith("_ms") and isinstance(value, int | float):
            return format_ms(value if value < 10_000 else round(value, -3))
        return value if isinstance(value, str) else _text(value)


def _text(value: object, indent: int | None = None, instants: Callable[[datetime], str] = _iso_8601) -> str:
    def plain(each: object) -> str:
        return instants(each) if isinstance(each, datetime) else str(each)

    return json.dumps(value, ensure_ascii=False, indent=indent, default=plain)
