import json
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest

from scheduler.core.events import Event
from scheduler.core.language import language
from scheduler.core.states import Reason, State
from scheduler.observe.console import BannerInfo, banner, format_event
from scheduler.observe.vocabulary import word

SHANGHAI = timezone(timedelta(hours=8))
ERROR = json.dumps({"type": "ValueError", "message": "no data\nat all", "traceback": "…"})


def event(kind: str, **more: Any) -> Event:
    facts = {"at": "1-0/0", "ms": 1_785_031_387_000, "subject": "01jrun", "task": "data_sync", "token": 1, "worker": "w"}
    return Event(type=kind, **(facts | {"reason": "", "duration_ms": 0.0, "detail": ""} | more))


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (event("succeeded", duration_ms=1234.5, detail='{"n":3}'), '10:03:07  ✓ succeeded   data_sync  01jrun  1s234ms  {"n":3}'),
        (event("succeeded", duration_ms=0.2, detail="null"), "10:03:07  ✓ succeeded   data_sync  01jrun"),
        (event("succeeded", duration_ms=0.2, detail='"cut off'), '10:03:07  ✓ succeeded   data_sync  01jrun  "cut off'),
        (
            event("failed", reason="error", duration_ms=10, detail=ERROR),
            "10:03:07  ✗ failed      data_sync  01jrun  10ms  ValueError: no data\\nat all",
        ),
        (
            event("dead", reason="timed_out", duration_ms=60_000, detail=ERROR),
            "10:03:07  ☠ dead        data_sync  01jrun  1m  timed_out  ValueError: no data\\nat all",
        ),
        (
            event("delayed", reason="error", duration_ms=10, detail=ERROR),
            "10:03:07  ↻ retry       data_sync  01jrun  10ms  ValueError: no data\\nat all",
        ),
        (event("pending", reason="lost"), "10:03:07  ? lost        data_sync  01jrun"),
        (event("delayed", reason="lost"), "10:03:07  ? lost        data_sync  01jrun"),
        (event("cancelled", reason="by ann\x1b[2J"), "10:03:07  ⊘ cancelled   data_sync  01jrun  by ann\\x1b[2J"),
        (event("cancelled", reason="cancelled"), "10:03:07  ⊘ cancelled   data_sync  01jrun"),
        (
            event("missed", subject="nightly", reason="misfired", detail='{"count":359,"until":1}'),
            "10:03:07  ◌ missed      data_sync  nightly  misfired  359 times",
        ),
        (
            event("skipped", subject="data_sync", reason="overlap", detail='{"instant":1}'),
            "10:03:07  ↷ skipped     data_sync  overlap",
        ),
        (event("paused", subject="gpu", task="", reason="queue"), "10:03:07  ⏸ paused      gpu  queue"),
        (event("resumed", subject="gpu", task="", reason="queue"), "10:03:07  ▶ resumed     gpu  queue"),
    ],
)
def test_one_line_for_what_is_news(told: Event, line: str) -> None:
    assert format_event(told, "en", color=False, zone=SHANGHAI) == line


@pytest.mark.parametrize(
    "step",
    [
        event("pending"),
        event("running"),
        event("pending", reason="due"),
        event("pending", reason="shutdown"),
        event("pending", reason="gpu_busy"),
        event("delayed", reason="scheduled"),
        event("waiting"),
        event("progress", detail="40"),
        event("retired"),
    ],
)
def test_steps_on_the_way_are_no_news(step: Event) -> None:
    assert format_event(step, "en", color=False) is None


def test_in_chinese_the_columns_hold_too() -> None:
    lines = [format_event(event(kind), "zh", color=False, zone=SHANGHAI) for kind in ("succeeded", "cancelled", "missed")]
    assert lines[0] == "10:03:07  ✓ 成功        data_sync  01jrun"
    assert lines[1] == "10:03:07  ⊘ 已取消      data_sync  01jrun"
    missed = event("missed", subject="s", reason="misfired", detail='{"count":2}')
    assert str(format_event(missed, "zh", color=False)).endswith("误点  2 次")


def test_in_chinese_the_reasons_are_chinese_too_but_not_what_somebody_wrote() -> None:
    dead = format_event(event("dead", reason="timed_out", detail=ERROR), "zh", color=False, zone=SHANGHAI)
    assert dead == "10:03:07  ☠ 死信        data_sync  01jrun  超时  ValueError: no data\\nat all"
    assert str(format_event(event("cancelled", reason="by ann"), "zh", color=False)).endswith("by ann")
    assert str(format_event(event("paused", subject="gpu", task="", reason="queue"), "zh", color=False)).endswith("gpu  队列")


@pytest.mark.parametrize("text", [*State, *Reason, "passed", "task", "queue", "schedule", "missed", "resumed"])
def test_every_word_of_the_machine_has_its_chinese(text: str) -> None:
    assert word(text, "zh") != text
    assert word(text, "en") == text


def test_colour_surrounds_symbol_and_word_alone() -> None:
    line = format_event(event("failed", reason="oom"), "en", color=True, zone=SHANGHAI)
    assert line == "10:03:07  \x1b[31m✗ failed    \x1b[0m  data_sync  01jrun  oom"


def test_a_long_result_is_cut() -> None:
    line = format_event(event("succeeded", detail=json.dumps("x" * 500)), "en", color=False)
    assert str(line).endswith("x…")
    assert len(str(line)) < 140


def test_without_a_zone_the_machines_own_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert str(format_event(event("succeeded"), "en", color=False)).startswith("07:33:07")
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


INFO = BannerInfo(
    name="default",
    version="0.1.0",
    store="remote",
    store_url="redis://:hunter2@db:6379/0",
    tasks=3,
    broken={"report": "no module 'pandas'\nsee above"},
    fires=[(1_785_031_387_000 + 60_000 * n, f"task{n}") for n in range(7)],
    addresses=["http://127.0.0.1:8400/", "http://127.0.0.1:8400/login?t=x"],
    zone=SHANGHAI,
    grace_s=1.5,
    program="python run.py",
)


def test_the_banner_tells_all_on_one_screen() -> None:
    assert banner(INFO, "en", color=False).splitlines() == [
        "scheduling centre 0.1.0  default",
        "  store   remote  redis://:***@db:6379/0",
        "  tasks   ✓ 3 ok  ✗ 1 broken",
        "          ✗ report: no module 'pandas'\\nsee above",
        "  next    2026-07-26 10:03:07 +0800  task0",
        "          2026-07-26 10:04:07 +0800  task1",
        "          2026-07-26 10:05:07 +0800  task2",
        "          2026-07-26 10:06:07 +0800  task3",
        "          2026-07-26 10:07:07 +0800  task4",
        "  open    http://127.0.0.1:8400/",
        "          http://127.0.0.1:8400/login?t=x",
        "  stop    Ctrl-C: running work has 1.5 s, the rest starts over at the next start; twice: at once",
    ]


def test_an_empty_centre_in_chinese_and_colour() -> None:
    text = banner(BannerInfo(name="x", version="1", store="embedded", store_url="unix:///d/s", tasks=0), "zh", color=True)
    assert "内置  unix:///d/s" in text
    assert "\x1b[32m✓ 0 个正常\x1b[0m" in text
    assert "没有计划中的任务" in text
    assert "访问" not in text
    assert "Ctrl-C：运行中的任务还有 2.5 秒" in text


def test_many_broken_tasks_leave_room_for_the_rest() -> None:
    info = BannerInfo(name="x", version="1", store="adopted", store_url="", tasks=0, broken={f"t{n}": "bad" for n in range(20)})
    lines = banner(info, "en", color=False).splitlines()
    assert "          … and 12 more: scheduler check" in lines
    assert "… and 12 more: python run.py check" in banner(replace(info, program="python run.py"), "en", color=False)
    assert len(lines) < 24


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "ZH_TW"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "C", "LC_ALL": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "C", "LC_MESSAGES": "zh_CN.UTF-8", "LC_ALL": ""}, "zh"),
        ({}, "en"),
    ],
)
def test_the_language_of_the_environment(environ: dict[str, str], expected: str) -> None:
    assert language(environ) == expected
