"""Triggers in plain words, English or Chinese. It expects what ``build_trigger`` accepts."""

import re
from collections.abc import Mapping
from typing import Any

from scheduler.triggers.cron import field_texts
from scheduler.triggers.fields import FIELDS, WEEKDAYS
from scheduler.triggers.interval import UNITS

_UNITS = {
    "years": ("year", "年"),
    "months": ("month", "个月"),
    "weeks": ("week", "周"),
    "days": ("day", "天"),
    "hours": ("hour", "小时"),
    "minutes": ("minute", "分钟"),
    "seconds": ("second", "秒"),
    "milliseconds": ("millisecond", "毫秒"),
}
_MONTH_NAMES = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ZH_NAMES = {
    **dict(zip(_DAY_NAMES, (f"星期{day}" for day in "一二三四五六日"), strict=True)),
    **{name: f"{number} 月" for number, name in enumerate(_MONTH_NAMES, 1)},
}
_CRON = {"expression", *FIELDS}
_NTH = {"1st": "#1", "2nd": "#2", "3rd": "#3", "4th": "#4", "5th": "#5", "last": "L"}


def describe(kind: str, args: Mapping[str, Any], timezone: str = "UTC", lang: str = "en") -> str:
    """Such as "every 30 minutes", or "每 30 分钟"; where the time of day matters, with the zone. ``lang`` is ``en`` or ``zh``."""
    zh = lang.startswith("zh")
    zone = str(args.get("timezone", timezone))
    text = _say(kind, args, zone, zh)
    if kind in {"cron", "date", "calendar_interval"}:
        text += f"（{zone}）" if zh else f" ({zone})"
    if "start_date" in args:
        text += f"，自 {args['start_date']} 起" if zh else f", from {args['start_date']}"
    if "end_date" in args:
        text += f"，至 {args['end_date']} 止" if zh else f", until {args['end_date']}"
    return text


def _say(kind: str, args: Mapping[str, Any], zone: str, zh: bool) -> str:
    match kind:
        case "interval":
            return _every(_interval_parts(args), zh)
        case "calendar_interval":
            parts = {name: args[name] for name in _UNITS if args.get(name)}
            clock = ":".join(f"{args.get(name, 0):02}" for name in ("hour", "minute", "second"))
            return f"{_every(parts, zh)} {clock}" if zh else f"{_every(parts, zh)} at {clock}"
        case "cron":
            return _cron(args, zh)
        case "date":
            return f"{args['run_date']} 一次" if zh else f"once, at {args['run_date']}"
        case "custom":
            return f"由 {args['class']} 决定" if zh else f"when {args['class']} says"
        case _:
            joint = {"or": (" or ", "，或 "), "and": (" and at the same instant ", "，且同时 ")}[kind][zh]
            return joint.join(describe(each["trigger"], each.get("args", {}), zone, "zh" if zh else "en") for each in args["triggers"])


def _interval_parts(args: Mapping[str, Any]) -> dict[str, int]:
    """The amounts of an interval in the largest units that fit; weeks only where they come out even."""
    rest = round(sum(args[unit] * size for unit, size in UNITS.items() if unit in args))
    if rest % UNITS["weeks"] == 0:
        return {"weeks": rest // UNITS["weeks"]}
    parts = {}
    for unit in ("days", "hours", "minutes", "seconds"):
        parts[unit], rest = divmod(rest, UNITS[unit])
    return {unit: amount for unit, amount in {**parts, "milliseconds": rest}.items() if amount}


def _every(parts: Mapping[str, int], zh: bool) -> str:
    if list(parts.values()) == [1]:
        unit = _UNITS[next(iter(parts))][zh]
        return f"每{unit}" if zh else f"every {unit}"
    if zh:
        return "每 " + " ".join(f"{amount} {_UNITS[unit][1]}" for unit, amount in parts.items())
    return "every " + " ".join(f"{amount} {_UNITS[unit][0]}{'s' if amount != 1 else ''}" for unit, amount in parts.items())


def _cron(args: Mapping[str, Any], zh: bool) -> str:
    expression = args["expression"].upper().split() if "expression" in args else _as_expression(field_texts(args))
    if not expression or re.search(r"[#L].*,|,.*[#L]", expression[-1 if len(expression) < 7 else -2].upper()):
        return "cron " + " ".join(
            str(value) if name == "expression" else f"{name}={value}" for name, value in args.items() if name in _CRON
        )
    if len(expression) == 5:
        expression = ["0", *expression]
    either = "expression" in args and not expression[3].startswith("*") and not expression[5].startswith("*")
    text = _in_words(expression, either, zh)
    if expression[3:6] == ["*"] * 3 and not text.startswith(("every", "每", "在每")) and expression[2] != "*":
        text = f"每天 {text}" if zh else f"every day {text}"
    return text


def _as_expression(texts: Mapping[str, str]) -> list[str] | None:
    """Fields as a crontab expression, seconds first and the year, where there is one, last; None where crontab has no words for them."""
    day, weekday = texts["day"].strip().lower(), texts["day_of_week"]
    place, _, name = day.partition(" ")
    if texts["week"] != "*" or ("," in day and (" " in day or "last" in day)) or (name and weekday != "*"):
        return None
    if name:
        number = (WEEKDAYS.index(name) + 1) % 7
        day, weekday = "*", f"{number}{_NTH[place]}"
    day = day.replace("last", "L")
    year = [] if texts["year"] == "*" else [texts["year"]]
    return [texts["second"], texts["minute"], texts["hour"], day, texts["month"], weekday, *year]


def _in_words(expression: list[str], either: bool, zh: bool) -> str:
    """Six or seven fields, described. The library is not sure whether "or" or "and" joins day of month and weekday: we are."""
    # Loaded here, as only texts for people need it: it opens a catalogue of translations.
    from cron_descriptor import ExpressionDescriptor, Options

    options = Options(use_24hour_time_format=True, locale_code="zh_CN" if zh else "en_US")
    whole = ExpressionDescriptor(" ".join(expression), options)
    by_weekday = ExpressionDescriptor(" ".join([*expression[:3], "*", *expression[4:]]), options)
    weekday = by_weekday.get_day_of_week_description()
    if either and weekday:
        weekday = (", 或" if zh else ", or ") + re.sub(r"^, (only |仅在 )?", "", weekday)
    text = whole.get_time_of_day_description() + whole.get_day_of_month_description() + weekday
    text += whole.get_month_description() + whole.get_year_description()
    text = whole.transform_verbosity(text, use_verbose_format=False)
    return _in_chinese(text) if zh else text[0].lower() + text[1:]


def _in_chinese(text: str) -> str:
    """The library's Chinese, with the names it leaves in English and in its word order put right."""
    text = re.sub(r"每 (\d+) 月", r"每 \1 个月", text).replace(", ", "，")
    text = re.sub("|".join(_ZH_NAMES), lambda name: _ZH_NAMES[name[0]], text)
    text = re.sub(r"在 (第.个星期.) 每月", r"每月\1", text)
    text = re.sub(r"(?<=[一二三四五六日月]) (?=[到和])", "", text)
    return re.sub(r"(?<=[在个到和或]) (?=星期)", "", text).removeprefix("在 ").strip()
