import asyncio
import logging
import re

import pytest

from scheduler.core.marks import marks_of
from scheduler.decorators import log_execution


@pytest.fixture(autouse=True)
def _all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_start_and_success(caplog: pytest.LogCaptureFixture) -> None:
    @log_execution()
    def daily_report(day: int) -> int:
        return day

    assert daily_report(3) == 3
    assert caplog.messages[0] == "开始执行任务: daily_report"
    assert re.fullmatch(r"任务 daily_report 执行成功，耗时: \d+\.\d\d秒", caplog.messages[1])
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
    assert caplog.records[0].name == __name__
    assert marks_of(daily_report) == {"log_runs": True}


def test_failure(caplog: pytest.LogCaptureFixture) -> None:
    @log_execution(logging.getLogger("reports"))
    def daily_report() -> None:
        raise ValueError("no data")

    with pytest.raises(ValueError, match="no data"):
        daily_report()
    assert re.fullmatch(r"任务 daily_report 执行失败，耗时: \d+\.\d\d秒，错误: no data", caplog.messages[1])
    assert caplog.records[1].levelname == "ERROR"
    assert caplog.records[1].name == "reports"


def test_coroutines_too(caplog: pytest.LogCaptureFixture) -> None:
    @log_execution()
    async def crawl() -> str:
        return "ok"

    assert asyncio.run(crawl()) == "ok"
    assert len(caplog.messages) == 2


def test_forgotten_parentheses_are_named() -> None:
    with pytest.raises(TypeError, match=r"write @log_execution\(\) with parentheses"):

        @log_execution
        def run() -> None: ...
