# ruff: noqa: E501 -- a row of the table holds both languages side by side
"""Plain words for triggers, in both languages."""

import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.triggers import TriggerError, build_trigger, describe

PAIRS: list[tuple[str, dict[str, Any], str, str]] = [
    ("interval", {"minutes": 30}, "every 30 minutes", "每 30 分钟"),
    ("interval", {"seconds": 60}, "every minute", "每分钟"),
    ("interval", {"minutes": 90}, "every 1 hour 30 minutes", "每 1 小时 30 分钟"),
    ("interval", {"seconds": 0.5}, "every 500 milliseconds", "每 500 毫秒"),
    ("interval", {"days": 14}, "every 2 weeks", "每 2 周"),
    ("interval", {"hours": 1, "start_date": "2026-01-01"}, "every hour, from 2026-01-01", "每小时，自 2026-01-01 起"),
    ("interval", {"hours": 1, "end_date": "2026-01-01"}, "every hour, until 2026-01-01", "每小时，至 2026-01-01 止"),
    ("cron", {"hour": 9}, "every day at 09:00 (Asia/Shanghai)", "每天 09:00（Asia/Shanghai）"),
    ("cron", {"hour": 9, "timezone": "UTC"}, "every day at 09:00 (UTC)", "每天 09:00（UTC）"),
    ("cron", {"hour": 9, "day_of_week": "mon-fri"}, "at 09:00, Monday through Friday (Asia/Shanghai)", "09:00，星期一到星期五（Asia/Shanghai）"),
    ("cron", {"expression": "0 9 * * 1-5"}, "at 09:00, Monday through Friday (Asia/Shanghai)", "09:00，星期一到星期五（Asia/Shanghai）"),
    ("cron", {"expression": "*/30 * * * *"}, "every 30 minutes (Asia/Shanghai)", "每 30 分钟（Asia/Shanghai）"),
    ("cron", {"expression": "*/10 * * * * *"}, "every 10 seconds (Asia/Shanghai)", "每 10 秒（Asia/Shanghai）"),
    ("cron", {"expression": "0 0 * * 0,3"}, "at 00:00, only on Sunday and Wednesday (Asia/Shanghai)", "00:00，仅在星期日和星期三（Asia/Shanghai）"),
    ("cron", {"expression": "0 9 13 * fri"}, "at 09:00, on day 13 of the month, or on Friday (Asia/Shanghai)", "09:00，每月的 13 号，或星期五（Asia/Shanghai）"),
    ("cron", {"hour": 9, "day": 13, "day_of_week": "fri"}, "at 09:00, on day 13 of the month, only on Friday (Asia/Shanghai)", "09:00，每月的 13 号，仅在星期五（Asia/Shanghai）"),
    ("cron", {"expression": "0 0 */2 * 1"}, "at 00:00, every 2 days, only on Monday (Asia/Shanghai)", "00:00，每 2 天，仅在星期一（Asia/Shanghai）"),
    ("cron", {"expression": "0 0 * * mon#2"}, "at 00:00, on the second Monday of the month (Asia/Shanghai)", "00:00，每月第二个星期一（Asia/Shanghai）"),
    ("cron", {"expression": "0 0 l * *"}, "at 00:00, on the last day of the month (Asia/Shanghai)", "00:00，每月的最后一天（Asia/Shanghai）"),
    ("cron", {"day": "last"}, "at 00:00, on the last day of the month (Asia/Shanghai)", "00:00，每月的最后一天（Asia/Shanghai）"),
    ("cron", {"day": "last sun"}, "at 00:00, on the last Sunday of the month (Asia/Shanghai)", "00:00，每月的最后一个星期日（Asia/Shanghai）"),
    ("cron", {"month": "2,4", "hour": 3}, "at 03:00, only in February and April (Asia/Shanghai)", "03:00，仅在 2 月和 4 月（Asia/Shanghai）"),
    ("cron", {"month": "jan-mar", "hour": 3}, "at 03:00, January through March (Asia/Shanghai)", "03:00，1 月到 3 月（Asia/Shanghai）"),
    ("cron", {"expression": "0 0 1 */2 *"}, "at 00:00, on day 1 of the month, every 2 months (Asia/Shanghai)", "00:00，每月的 1 号，每 2 个月（Asia/Shanghai）"),
    ("cron", {"year": 2030, "month": 5}, "at 00:00, on day 1 of the month, only in May, only in 2030 (Asia/Shanghai)", "00:00，每月的 1 号，仅在 5 月，仅在 2030（Asia/Shanghai）"),
    # What neither crontab nor its words can say stays as it was written.
    ("cron", {"week": 2, "hour": 3}, "cron week=2 hour=3 (Asia/Shanghai)", "cron week=2 hour=3（Asia/Shanghai）"),
    ("cron", {"day": "1st mon,15"}, "cron day=1st mon,15 (Asia/Shanghai)", "cron day=1st mon,15（Asia/Shanghai）"),
    ("cron", {"day": "1st mon", "day_of_week": "mon"}, "cron day=1st mon day_of_week=mon (Asia/Shanghai)", "cron day=1st mon day_of_week=mon（Asia/Shanghai）"),
    ("cron", {"expression": "0 0 * * MON#1,TUE#2"}, "cron 0 0 * * MON#1,TUE#2 (Asia/Shanghai)", "cron 0 0 * * MON#1,TUE#2（Asia/Shanghai）"),
    ("date", {"run_date": "2026-12-25 10:00:00"}, "once, at 2026-12-25 10:00:00 (Asia/Shanghai)", "2026-12-25 10:00:00 一次（Asia/Shanghai）"),
    ("calendar_interval", {"months": 2, "hour": 9}, "every 2 months at 09:00:00 (Asia/Shanghai)", "每 2 个月 09:00:00（Asia/Shanghai）"),
    ("calendar_interval", {"months": 1, "days": 1}, "every 1 month 1 day at 00:00:00 (Asia/Shanghai)", "每 1 个月 1 天 00:00:00（Asia/Shanghai）"),
    (
        "or",
        {"triggers": [{"trigger": "cron", "args": {"hour": 9}}, {"trigger": "interval", "args": {"hours": 5}}]},
        "every day at 09:00 (Asia/Shanghai) or every 5 hours",
        "每天 09:00（Asia/Shanghai），或 每 5 小时",
    ),
    (
        "and",
        {"triggers": [{"trigger": "interval", "args": {"days": 1}}, {"trigger": "interval", "args": {"hours": 5}}]},
        "every day and at the same instant every 5 hours",
        "每天，且同时 每 5 小时",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "args", "english", "chinese"), PAIRS)
def test_plain_words(kind: str, args: dict[str, Any], english: str, chinese: str) -> None:
    build_trigger(kind, args, "Asia/Shanghai")
    assert describe(kind, args, "Asia/Shanghai", "en") == english
    assert describe(kind, args, "Asia/Shanghai", "zh") == chinese


def test_a_custom_trigger_is_named() -> None:
    assert describe("custom", {"class": "my.calendar:Lunar"}) == "when my.calendar:Lunar says"
    assert describe("custom", {"class": "my.calendar:Lunar"}, lang="zh_CN") == "由 my.calendar:Lunar 决定"


def field(low: int, high: int, *others: str) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high).map(str)
    return st.one_of(
        st.just("*"), numbers, st.sampled_from(others or ("*",)), st.lists(numbers, min_size=2, max_size=3).map(",".join), st.just("*/3")
    )


@settings(max_examples=500, deadline=None)
@given(
    st.tuples(
        field(0, 59, "5/10", "0-59", "10-30/5"),
        field(0, 23, "9-17", "0-23"),
        field(1, 31, "L", "LW", "1-7"),
        field(1, 12, "JAN-MAR", "feb"),
        field(0, 7, "mon-fri", "5L", "MON#1", "sat,sun"),
    ).map(" ".join),
    st.sampled_from(["", "0 ", "*/5 ", "* "]),
)
def test_every_cron_that_can_be_built_can_be_described(fields: str, seconds: str) -> None:
    args = {"expression": seconds + fields}
    try:
        build_trigger("cron", args)
    except TriggerError:
        return
    english, chinese = describe("cron", args), describe("cron", args, lang="zh")
    assert english.endswith(" (UTC)")
    assert english.startswith("cron ") == chinese.startswith("cron ")
    assert chinese.startswith("cron ") or not re.search("[A-Za-z]", chinese.removesuffix("（UTC）"))


def test_the_words_are_loaded_only_when_they_are_needed() -> None:
    code = "import sys, scheduler.triggers; print('cron_descriptor' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
