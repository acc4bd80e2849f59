"""What Runs print, log and report, as others see it while they run and afterwards."""

import logging
import re
from typing import Any

import pytest

TALK = """
import logging, sys
from scheduler import BaseTask, current_run, log_execution

def run(name="you"):
    current_run().log.info("hello %s", name)
    logging.getLogger("some.package").warning("beware")
    current_run().progress(40, "two of five")
    return current_run().attempt

@log_execution()
def logged():
    current_run().log.info("in between")

def printing():
    print("to stdout"); print("to stderr", file=sys.stderr)

def halting():
    from simple import GO
    current_run().log.info("before"); current_run().progress(10, "waiting")
    GO.wait(20)
    current_run().log.info("after")

class Chatty(BaseTask):
    def execute(self): self.logger.info("from the class")
"""
EXECUTORS = ["default", "processpool", "asyncio"]


@pytest.fixture
def talking(desk: Any) -> Any:
    desk.plugin("talk", TALK)
    tasks = {name: {"module": f"talk:{name}", "trigger": "none"} for name in ("run", "logged", "printing", "halting", "Chatty")}
    return {name.lower(): task for name, task in tasks.items()}


@pytest.mark.parametrize("executor", ["default", "processpool"])
def test_what_a_run_logs_can_be_read(desk: Any, talking: Any, executor: str) -> None:
    center = desk.started({"run": {**talking["run"], "executor": executor}})
    run = center.wait(center.submit("run"))
    total, tail = center.queue.read_log(run.id)
    assert [line.partition(" ")[2].partition(" ")[2] for line in tail.splitlines()] == [
        "INFO run.run: hello you",
        "WARNING some.package: beware",
    ]
    assert total == len(tail.encode())
    assert (run.progress, run.progress_message) == (40, "two of five")
    [file] = (desk.folder / "logs" / "runs").rglob("*.log")
    assert (file.name, file.read_text()) == (f"{run.id}.1.log", tail)


def test_log_and_progress_are_seen_while_it_runs(desk: Any, talking: Any) -> None:
    center = desk.started({"halting": talking["halting"]})
    run = center.submit("halting")
    desk.until(lambda: "before" in center.queue.read_log(run)[1])
    desk.until(lambda: center.get_run(run).progress_message == "waiting")
    assert center.get_run(run).state == "running"
    desk.module().GO.set()
    center.wait(run)
    assert "after" in center.queue.read_log(run)[1]


@pytest.mark.parametrize("executor", ["default", "processpool"])
def test_log_execution_writes_each_line_once(desk: Any, talking: Any, executor: str) -> None:
    center = desk.started({"logged": {**talking["logged"], "executor": executor}})
    run = center.wait(center.submit("logged"))
    lines = center.queue.read_log(run.id)[1].splitlines()
    assert len(lines) == 3
    assert "开始" in lines[0]
    assert "in between" in lines[1]
    assert re.search(r"耗时: \d+\.\d\d秒", lines[2])


def test_the_logger_of_a_class_leads_there_too(desk: Any, talking: Any) -> None:
    center = desk.started({"chatty": talking["chatty"]})
    run = center.wait(center.submit("chatty"))
    assert "INFO plugin.Chatty: from the class" in center.queue.read_log(run.id)[1]


def test_what_a_process_prints_is_captured(desk: Any, talking: Any) -> None:
    center = desk.started({"printing": {**talking["printing"], "executor": "processpool"}})
    run = center.wait(center.submit("printing"))
    assert sorted(center.queue.read_log(run.id)[1].split("\n")) == ["", "to stderr", "to stdout"]


def test_the_programs_own_print_stays_its_own(desk: Any, talking: Any, capsys: pytest.CaptureFixture[str]) -> None:
    center = desk.started({"printing": talking["printing"]})
    center.wait(center.submit("printing"))
    assert "to stdout" in capsys.readouterr().out


def test_the_loggers_are_left_as_they_were(desk: Any, talking: Any) -> None:
    levels = {name: logging.getLogger(name).level for name in ("run", "plugin", "")}
    desk.started().shutdown()
    assert {name: logging.getLogger(name).level for name in levels} == levels


def test_warnings_of_a_program_without_logging_are_still_seen(
    desk: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    center = desk.started()
    logging.getLogger("program").warning("look here")
    logging.getLogger("program").info("not here")
    center.shutdown()
    assert capsys.readouterr().err.count("look here") == 1
