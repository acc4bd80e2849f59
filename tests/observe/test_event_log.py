"""What the log of the service says of events, on which level, and how much of it."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scheduler.core.events import Event
from scheduler.observe.event_log import LINES_PER_S, LOGGER, EventLog
from scheduler.observe.logs import configure_logging

ERROR = json.dumps({"type": "ValueError", "message": "no data\nat all", "traceback": "…"})


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def event(kind: str, **more: Any) -> Event:
    facts = {"at": "1-0/0", "ms": 1, "subject": "r1", "task": "data_sync", "token": 1, "worker": "w", "reason": "", "duration_ms": 5.0}
    return Event(type=kind, **{"detail": "", **facts, **more})


def found(claims: int, attempt: int) -> Any:
    return lambda _: SimpleNamespace(claims=claims, attempt=attempt)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> EventLog:
    caplog.set_level(logging.INFO, LOGGER)
    return EventLog(lambda run: pytest.fail(f"asked for {run}"), Clock())


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


@pytest.mark.parametrize(
    ("told", "level", "line"),
    [
        (event("succeeded", detail='{"n":3}'), "INFO", "任务 data_sync 执行成功"),
        (event("failed", reason="error", detail=ERROR), "ERROR", "任务 data_sync 执行失败: ValueError: no data\\nat all"),
        (event("dead", reason="timed_out"), "ERROR", "任务 data_sync 执行失败: timed_out"),
        (event("dead", reason="lost", detail='{"cut off'), "ERROR", "任务 data_sync 执行失败: lost"),
        (event("delayed", reason="error", detail=ERROR), "WARNING", "任务执行失败 (第1次尝试): data_sync: ValueError: no data\\nat all"),
        (event("delayed", reason="crashed"), "WARNING", "任务执行失败 (第1次尝试): data_sync: crashed"),
    ],
)
def test_a_line_for_each_end_with_its_facts(log: EventLog, caplog: pytest.LogCaptureFixture, told: Event, level: str, line: str) -> None:
    log.observe([told])
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (level, line)
    facts = vars(record)
    assert [facts[name] for name in ("run", "task", "attempt", "duration_ms", "reason")] == ["r1", "data_sync", 1, 5.0, told.reason]


@pytest.mark.parametrize(
    "step",
    [
        event("pending"),
        event("running"),
        event("delayed", reason="scheduled"),
        event("delayed", reason="lost"),
        event("pending", reason="rate_limited"),
        event("cancelled"),
        event("skipped", detail='{"instant":1}'),
        event("progress", detail="40"),
        event("paused", subject="gpu", reason="queue"),
    ],
    ids=lambda step: f"{step.type} {step.reason}".strip(),
)
def test_what_is_no_end_has_no_line(log: EventLog, caplog: pytest.LogCaptureFixture, step: Event) -> None:
    log.observe([step])
    assert caplog.records == []


def test_a_claim_that_did_not_count_is_no_attempt(caplog: pytest.LogCaptureFixture) -> None:
    EventLog(found(claims=5, attempt=2)).observe([event("delayed", reason="error", token=5, detail=ERROR)])
    assert caplog.records[0].getMessage().startswith("任务执行失败 (第2次尝试)")
    EventLog(found(claims=6, attempt=3)).observe([event("delayed", reason="error", token=5, detail=ERROR)])  # it runs again by now
    assert caplog.records[1].getMessage().startswith("任务执行失败 (第2次尝试)")


def test_a_run_that_cannot_be_found_has_its_line_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    def away(_: str) -> None:
        raise ConnectionError

    for find in (away, lambda _: None):
        EventLog(find).observe([event("failed", reason="error", token=3)])
    assert [vars(record)["attempt"] for record in caplog.records] == [3, 3]


def test_what_nobody_wants_to_read_is_not_even_formatted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, LOGGER)
    log = EventLog(lambda run: pytest.fail(f"asked for {run}"))
    log.observe([event("succeeded", token=2), event("delayed", reason="error", token=2)])
    assert caplog.records == []


def test_a_flood_is_counted_and_drowns_no_failure(log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    log.observe([event("succeeded")] * (LINES_PER_S + 40) + [event("failed", reason="error")])
    assert (len(caplog.records), caplog.records[-1].levelname) == (LINES_PER_S + 1, "ERROR")
    log._clock.now += 1
    log.observe([event("succeeded")])
    summary, last = caplog.records[-2:]
    assert (summary.levelname, summary.getMessage()) == ("INFO", "这一秒内另有 40 次执行成功，未逐条记录")
    assert last.getMessage() == "任务 data_sync 执行成功"
    log.sum_up()
    assert caplog.records[-1] is last


def test_with_a_file_they_are_in_it_alone(log: EventLog, restored: None, tmp_path: Path) -> None:
    stream = io.StringIO()
    configure_logging("INFO", tmp_path, stream=stream)
    logging.getLogger("scheduler").info("调度器启动成功")
    log.observe([event("failed", reason="error", detail=ERROR)])
    shown = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    kept = [json.loads(line) for line in (tmp_path / "scheduler.log").read_text("utf-8").splitlines()]
    assert shown == ["调度器启动成功"]
    assert (kept[1]["level"], kept[1]["run"], kept[1]["attempt"]) == ("error", "r1", 1)
    configure_logging("INFO", stream=stream)
    log.observe([event("succeeded")])
    assert json.loads(stream.getvalue().splitlines()[-1])["message"] == "任务 data_sync 执行成功"
