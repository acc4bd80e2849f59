"""Triggers in plain words, English or Chinese. It expects what ``build_trigger`` accepts."""

import re
from calendar import day_name, month_name
from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.triggers.cron import crontab_day, field_texts
from scheduler.triggers.fields import FIELDS
from scheduler.triggers.interval import CLOCK, STEPS, UNITS

_ZH_UNITS = {
    "year": "年",
    "month": "个月",
    "week": "周",
    "day": "天",
    "hour": "小时",
    "minute": "分钟",
    "second": "秒",
    "millisecond": "毫秒",
}


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
            return _interval(args, zh)
        case "calendar_interval":
            clock = ":".join(f"{args.get(name, 0):02}" for name in CLOCK)
            return _every({name: args[name] for name in STEPS if args.get(name)}, zh) + (f" {clock}" if zh else f" at {clock}")
        case "cron":
            return _cron(args, zh)
        case "date":
            return f"{args['run_date']} 一次" if zh else f"once, at {args['run_date']}"
        case "custom":
            return f"由 {args['class']} 决定" if zh else f"when {args['class']} says"
        case _:
            joint = {"or": (" or ", "，或 "), "and": (" and at the same instant ", "，且同时 ")}[kind][zh]
            return joint.join(describe(each["trigger"], each.get("args", {}), zone, "zh" if zh else "en") for each in args["triggers"])


def _interval(args: Mapping[str, Any], zh: bool) -> str:
    """In the largest units that fit; weeks only where they come out even."""
    rest = round(sum(args[unit] * size for unit, size in UNITS.items() if unit in args))
    if rest % UNITS["weeks"] == 0:
        return _every({"weeks": rest // UNITS["weeks"]}, zh)
    parts = {}
    for unit in ("days", "hours", "minutes", "seconds"):
        parts[unit], rest = divmod(rest, UNITS[unit])
    return _every({unit: amount for unit, amount in {**parts, "milliseconds": rest}.items() if amount}, zh)


def _every(parts: Mapping[str, int], zh: bool) -> str:
    amounts = [(amount, unit.removesuffix("s")) for unit, amount in parts.items()]
    if len(amounts) == 1 and amounts[0][0] == 1:
        return f"每{_ZH_UNITS[amounts[0][1]]}" if zh else f"every {amounts[0][1]}"
    if zh:
        return "每 " + " ".join(f"{amount} {_ZH_UNITS[unit]}" for amount, unit in amounts)
    return "every " + " ".join(f"{amount} {unit}{'s' if amount != 1 else ''}" for amount, unit in amounts)


def _cron(args: Mapping[str, Any], zh: bool) -> str:
    written = args.get("expression")
    fields = ["0", *written.upper().split()][-6:] if written else _as_crontab(field_texts(args))
    if not fields or re.search(r"[#L].*,|,.*[#L]", fields[5]):  # crontab, or its words, cannot say it: as it was written
        return "cron " + (written or " ".join(f"{name}={args[name]}" for name in FIELDS if name in args))
    either = bool(written) and not fields[3].startswith("*") and not fields[5].startswith("*")
    text = _in_words(fields, either, zh)
    if fields[3:6] == ["*"] * 3 and fields[2] != "*" and not text.startswith(("every", "每", "在每")):
        text = f"每天 {text}" if zh else f"every day {text}"
    return text


def _as_crontab(texts: Mapping[str, str]) -> list[str] | None:
    """Fields as a crontab expression, seconds first and the year, where there is one, last; None where crontab has no words for them."""
    days, places = crontab_day(texts["day"])
    weekday = texts["day_of_week"]
    if texts["week"] != "*" or (places and (days or weekday != "*")) or (len(days) > 1 and "L" in days):
        return None
    year = [] if texts["year"] == "*" else [texts["year"]]
    return [texts["second"], texts["minute"], texts["hour"], ",".join(days) or "*", texts["month"], ",".join(places) or weekday, *year]


def _in_words(fields: Sequence[str], either: bool, zh: bool) -> str:
    """Six or seven fields, described. The library is not sure whether "or" or "and" joins day of month and weekday: we are."""
    # Loaded here, as only texts for people need it: it opens a catalogue of translations.
    from cron_descriptor import ExpressionDescriptor, Options

    options = Options(use_24hour_time_format=True, locale_code="zh_CN" if zh else "en_US")
    whole = ExpressionDescriptor(" ".join(fields), options)
    weekday = ExpressionDescriptor(" ".join([*fields[:3], "*", *fields[4:]]), options).get_day_of_week_description()
    if either and weekday:
        weekday = (", 或" if zh else ", or ") + re.sub(r"^, (only |仅在 )?", "", weekday)
    text = whole.get_time_of_day_description() + whole.get_day_of_month_description() + weekday
    text += whole.get_month_description() + whole.get_year_description()
    text = whole.transform_verbosity(text, use_verbose_format=False)
    return _in_chinese(text) if zh else text[0].lower() + text[1:]


def _in_chinese(text: str) -> str:
    """The library's Chinese, with the names it leaves in English and in its word order put right."""
    names = {name: f"星期{day}" for name, day in zip(day_name, "一二三四五六日", strict=True)}
    names |= {month_name[number]: f"{number} 月" for number in range(1, 13)}
    text = re.sub(r"每 (\d+) 月", r"每 \1 个月", text).replace(", ", "，")
    text = re.sub("|".join(names), lambda name: names[name[0]], text)
    text = re.sub(r"在 (第.个星期.) 每月", r"每月\1", text)
    text = re.sub(r"(?<=[一二三四五六日月]) (?=[到和])", "", text)
    return re.sub(r"(?<=[在个到和或]) (?=星期)", "", text).removeprefix("在 ").strip()
