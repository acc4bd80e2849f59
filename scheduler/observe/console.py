"""What a person at the terminal sees: the banner of the start, and a line for each Run that ends and each thing worth knowing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Literal
from unicodedata import east_asian_width

from scheduler.core.events import Event
from scheduler.core.language import Language
from scheduler.core.states import Reason, State
from scheduler.core.units import format_ms
from scheduler.observe.safe_text import mask_url, one_line
from scheduler.observe.vocabulary import instant, word

EXCERPT = 80  # characters of a result or an error
_FIRES_SHOWN = 5
_BROKEN_SHOWN = 8
_RETRIED = frozenset({Reason.ERROR, Reason.TIMED_OUT, Reason.CRASHED, Reason.OOM})

# What is news, as three signs, so that none is needed alone: the word, an ANSI colour and a symbol.
_NEWS = {
    "succeeded": ("32", "✓"),
    "failed": ("31", "✗"),
    "dead": ("31", "☠"),
    "cancelled": ("33", "⊘"),
    "skipped": ("33", "↷"),
    "retry": ("33", "↻"),
    "lost": ("35", "?"),
    "missed": ("35", "◌"),
    "paused": ("36", "⏸"),
    "resumed": ("36", "▶"),
}
_COLUMN = 10  # cells of the longest word


def format_event(event: Event, lang: Language, color: bool, zone: tzinfo | None = None) -> str | None:
    """One line for people, or None for what is no news. Times are in ``zone`` (default: this machine's)."""
    news = _news(event)
    if news is None:
        return None
    paint, symbol = _NEWS[news]
    label = _paint(f"{symbol} {_pad(word(news, lang), _COLUMN)}", paint, color)
    time = datetime.fromtimestamp(event.ms / 1000, UTC).astimezone(zone).strftime("%H:%M:%S")
    task = event.task if event.task != event.subject else ""
    duration = format_ms(event.duration_ms) if event.duration_ms >= 1 else ""
    rest = [one_line(part, EXCERPT) for part in (task, event.subject, duration, *_particulars(event, news, lang)) if part]
    return "  ".join([time, label, *rest])


def _news(event: Event) -> str | None:
    """The word for ``event``; None where it is only a step on the way."""
    if event.type in (State.DELAYED, State.PENDING) and event.reason == Reason.LOST:
        return "lost"
    if event.type == State.DELAYED and event.reason in _RETRIED:
        return "retry"
    return event.type if event.type in _NEWS else None


def _particulars(event: Event, news: str, lang: Language) -> tuple[str, ...]:
    """The reason, and an excerpt of the result or the error."""
    try:
        detail = json.loads(event.detail or "null")
    except ValueError:  # it was cut off
        detail = event.detail
    if news == "succeeded":
        return () if detail is None else (event.detail,)
    if news == "missed" and isinstance(detail, dict):
        count = detail.get("count")
        return word(event.reason, lang), f"{count} {'次' if lang == 'zh' else 'time' if count == 1 else 'times'}"
    reason = "" if event.reason in (event.type, news) else word(event.reason, lang)
    if isinstance(detail, dict) and "type" in detail:
        return reason if event.reason != Reason.ERROR else "", f"{detail['type']}: {detail.get('message', '')}"
    return (reason,)


@dataclass(frozen=True, slots=True, kw_only=True)
class BannerInfo:
    """What the banner tells. ``fires``: (instant in ms, schedule) of the next ones; ``broken``: task → reason.

    ``grace_s``: how long running work may go on after Ctrl-C; ``program``: how this one was called.
    """

    name: str
    version: str
    store: Literal["embedded", "adopted", "remote"]
    store_url: str
    tasks: int
    broken: Mapping[str, str] = field(default_factory=dict)
    fires: Sequence[tuple[int, str]] = ()
    addresses: Sequence[str] = ()
    zone: tzinfo = UTC
    grace_s: float = 2.5
    program: str = "scheduler"


_TEXTS = {
    "title": ("scheduling centre", "调度中心"),
    "store": ("store", "存储"),
    "embedded": ("embedded", "内置"),
    "adopted": ("embedded, already running", "内置（已在运行）"),
    "remote": ("remote", "远程"),
    "tasks": ("tasks", "任务"),
    "ok": ("{} ok", "{} 个正常"),
    "broken": ("{} broken", "{} 个无法加载"),
    "more": ("… and {} more: {} check", "… 另有 {} 个：{} check"),
    "next": ("next", "即将"),
    "none": ("nothing is scheduled", "没有计划中的任务"),
    "open": ("open", "访问"),
    "stop": ("stop", "停止"),
    "how": (
        "Ctrl-C: running work has {:g} s, the rest starts over at the next start; twice: at once",
        "Ctrl-C：运行中的任务还有 {:g} 秒，其余的下次启动时重新开始；按两次立即停止",
    ),
}


def banner(info: BannerInfo, lang: Language, color: bool) -> str:
    """One screen: where the state lives, which tasks are well, what fires next, where to look, how to stop."""
    text = {key: words[lang == "zh"] for key, words in _TEXTS.items()}
    title = _paint(f"{text['title']} {info.version}", "1", color)
    fires = [f"{instant(datetime.fromtimestamp(ms / 1000, info.zone))}  {one_line(name)}" for ms, name in info.fires[:_FIRES_SHOWN]]
    blocks = {
        "store": [f"{text[info.store]}  {mask_url(info.store_url)}"],
        "tasks": _health(info, text, color),
        "next": fires or [text["none"]],
        "open": info.addresses,
        "stop": [text["how"].format(info.grace_s)],
    }
    rows = [(text[block] if number == 0 else "", line) for block, lines in blocks.items() for number, line in enumerate(lines)]
    return "\n".join([f"{title}  {one_line(info.name)}", *(f"  {_paint(_pad(label, 6), '2', color)}  {value}" for label, value in rows)])


def _health(info: BannerInfo, text: Mapping[str, str], color: bool) -> list[str]:
    """How many tasks are well, and the first of those that are not."""
    well = _paint(f"✓ {text['ok'].format(info.tasks)}", "32", color)
    if not info.broken:
        return [well]
    cross = _paint("✗", "31", color)
    shown = [f"{cross} {one_line(name)}: {one_line(reason, 2 * EXCERPT)}" for name, reason in list(info.broken.items())[:_BROKEN_SHOWN]]
    hidden = len(info.broken) - len(shown)
    ill = _paint(f"✗ {text['broken'].format(len(info.broken))}", "31", color)
    return [f"{well}  {ill}", *shown, *([text["more"].format(hidden, info.program)] if hidden else [])]


def _paint(text: str, code: str, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color else text


def _pad(text: str, cells: int) -> str:
    """``text`` filled to ``cells`` on a terminal, where a Chinese character takes two."""
    return text + " " * (cells - sum(2 if east_asian_width(char) in "WF" else 1 for char in text))
