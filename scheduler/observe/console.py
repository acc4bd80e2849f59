"""What a person at the terminal sees: the banner of the start, and a line for each Run that ends and each thing worth knowing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Literal, NamedTuple
from unicodedata import east_asian_width

from scheduler.core.events import Event
from scheduler.core.language import Language
from scheduler.core.states import Reason, State
from scheduler.core.units import format_ms
from scheduler.observe.safe_text import mask_url, one_line

EXCERPT = 80  # characters of a result or an error
_FIRES_SHOWN = 5
_BROKEN_SHOWN = 8
_RETRIED = frozenset({Reason.ERROR, Reason.TIMED_OUT, Reason.CRASHED, Reason.OOM})


class _Word(NamedTuple):
    """A state as three signs: colour, symbol and word, so that none is needed alone."""

    color: str  # an ANSI colour number
    symbol: str
    en: str
    zh: str


_WORDS = {
    "succeeded": _Word("32", "✓", "succeeded", "成功"),
    "failed": _Word("31", "✗", "failed", "失败"),
    "dead": _Word("31", "☠", "dead", "死信"),
    "cancelled": _Word("33", "⊘", "cancelled", "已取消"),
    "skipped": _Word("33", "↷", "skipped", "已跳过"),
    "retry": _Word("33", "↻", "retry", "将重试"),
    "lost": _Word("35", "?", "lost", "失联"),
    "missed": _Word("35", "◌", "missed", "错过"),
    "paused": _Word("36", "⏸", "paused", "已暂停"),
    "resumed": _Word("36", "▶", "resumed", "已恢复"),
}
_COLUMN = 10  # cells of the longest word


def format_event(event: Event, lang: Language, color: bool, zone: tzinfo | None = None) -> str | None:
    """One line for people, or None for what is no news. Times are in ``zone`` (default: this machine's)."""
    news = _news(event)
    if news is None:
        return None
    word = _WORDS[news]
    label = f"{word.symbol} {_pad(getattr(word, lang), _COLUMN)}"
    time = datetime.fromtimestamp(event.ms / 1000, UTC).astimezone(zone).strftime("%H:%M:%S")
    subject = [event.task, event.subject] if event.task and event.task != event.subject else [event.subject]
    duration = [format_ms(event.duration_ms)] if event.duration_ms >= 1 else []
    rest = [one_line(part, EXCERPT) for part in (*subject, *duration, *_particulars(event, news, lang)) if part]
    return "  ".join([time, _paint(label, word.color, color), *rest])


def _news(event: Event) -> str | None:
    """The word for ``event``; None where it is only a step on the way."""
    if event.type in _WORDS:
        return event.type
    if event.type in (State.DELAYED, State.PENDING):
        if event.reason == Reason.LOST:
            return "lost"
        if event.type == State.DELAYED and event.reason in _RETRIED:
            return "retry"
    return None


def _particulars(event: Event, news: str, lang: Language) -> list[str]:
    """The reason, and an excerpt of the result or the error."""
    detail = _json(event.detail)
    if news == "succeeded":
        return [] if detail is None else [event.detail]
    if news == "missed" and isinstance(detail, dict):
        return [event.reason, f"{detail.get('count')} 次" if lang == "zh" else f"{detail.get('count')} times"]
    reason = "" if event.reason in (event.type, news) else event.reason
    if isinstance(detail, dict) and "type" in detail:
        return [reason if reason != Reason.ERROR else "", f"{detail['type']}: {detail.get('message', '')}"]
    return [reason]


def _json(text: str) -> object:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class BannerInfo:
    """What the banner tells. ``fires``: (instant in ms, schedule) of the next ones; ``broken``: task → reason."""

    name: str
    version: str
    store: Literal["embedded", "adopted", "remote"]
    store_url: str
    tasks: int
    broken: Mapping[str, str] = field(default_factory=dict)
    fires: Sequence[tuple[int, str]] = ()
    addresses: Sequence[str] = ()
    zone: tzinfo = UTC


_TEXTS: dict[Language, dict[str, str]] = {
    "en": {
        "title": "scheduling centre",
        "store": "store",
        "embedded": "embedded",
        "adopted": "embedded, already running",
        "remote": "remote",
        "tasks": "tasks",
        "ok": "{} ok",
        "broken": "{} broken",
        "more": "… and {} more: scheduler check",
        "next": "next",
        "none": "nothing is scheduled",
        "open": "open",
        "stop": "stop",
        "how": "Ctrl+C lets running work finish; twice stops at once",
    },
    "zh": {
        "title": "调度中心",
        "store": "存储",
        "embedded": "内置",
        "adopted": "内置（已在运行）",
        "remote": "远程",
        "tasks": "任务",
        "ok": "{} 个正常",
        "broken": "{} 个无法加载",
        "more": "… 另有 {} 个：scheduler check",
        "next": "即将",
        "none": "没有计划中的任务",
        "open": "访问",
        "stop": "停止",
        "how": "Ctrl+C 等待运行中的任务结束；按两次立即停止",
    },
}


def banner(info: BannerInfo, lang: Language, color: bool) -> str:
    """One screen: where the state lives, which tasks are well, what fires next, where to look, how to stop."""
    text = _TEXTS[lang]
    title = _paint(f"{text['title']} {info.version}", "1", color)
    rows = [(text["store"], f"{text[info.store]}  {mask_url(info.store_url)}"), (text["tasks"], _health(info, text, color))]
    rows += [("", line) for line in _broken(info, text, color)]
    fires = [_fire(instant_ms, schedule, info.zone) for instant_ms, schedule in info.fires[:_FIRES_SHOWN]] or [text["none"]]
    rows += _labelled(text["next"], fires)
    rows += _labelled(text["open"], info.addresses)
    rows.append((text["stop"], text["how"]))
    return "\n".join([f"{title}  {one_line(info.name)}", *(f"  {_paint(_pad(label, 6), '2', color)}  {value}" for label, value in rows)])


def _health(info: BannerInfo, text: Mapping[str, str], color: bool) -> str:
    well = _paint(f"✓ {text['ok'].format(info.tasks)}", "32", color)
    return f"{well}  {_paint('✗ ' + text['broken'].format(len(info.broken)), '31', color)}" if info.broken else well


def _broken(info: BannerInfo, text: Mapping[str, str], color: bool) -> list[str]:
    shown = list(info.broken.items())[:_BROKEN_SHOWN]
    lines = [f"{_paint('✗', '31', color)} {one_line(name)}: {one_line(reason, 2 * EXCERPT)}" for name, reason in shown]
    hidden = len(info.broken) - len(shown)
    return [*lines, text["more"].format(hidden)] if hidden else lines


def _fire(instant_ms: int, schedule: str, zone: tzinfo) -> str:
    return f"{datetime.fromtimestamp(instant_ms / 1000, zone):%Y-%m-%d %H:%M:%S %z}  {one_line(schedule)}"


def _labelled(label: str, lines: Sequence[str]) -> list[tuple[str, str]]:
    return [(label if number == 0 else "", line) for number, line in enumerate(lines)]


def _paint(text: str, code: str, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color else text


def _pad(text: str, cells: int) -> str:
    """``text`` filled to ``cells`` on a terminal, where a Chinese character takes two."""
    width = sum(2 if east_asian_width(char) in "WF" else 1 for char in text)
    return text + " " * max(0, cells - width)
