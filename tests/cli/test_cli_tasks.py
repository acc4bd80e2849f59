"""``tasks``: what may run and when, seen and changed from the command line."""

import json
from datetime import datetime
from typing import Any

import pytest


def test_list_shows_state_trigger_and_next_fire(desk: Any) -> None:
    desk.plugin("broken")
    desk.write("tasks.yaml", "tasks: {greet: {args: {hours: 1}}, broken: {trigger: none}, idle: {module: greet, enabled: false}}")
    rows = {row["name"]: row for row in desk.json("tasks", "list")}
    assert {name: row["state"] for name, row in rows.items()} == {"broken": "broken", "greet": "ok", "idle": "disabled"}
    assert "not_there_at_all" in rows["broken"]["broken"]
    assert rows["greet"]["trigger"] == "every hour"
    assert datetime.fromisoformat(rows["greet"]["next"]).minute == 0
    assert rows["idle"]["next"] is None
    table = desk("tasks", "list").stdout
    assert table.splitlines()[0].split() == ["name", "state", "trigger", "next", "description"]


def test_list_in_chinese(desk: Any) -> None:
    assert "星期一" in desk("tasks", "list", "--lang", "zh").stdout
    desk.write("tasks.yaml", "tasks: {}")
    assert "还没有任务" in desk("tasks", "list", "--lang", "zh").stderr


def test_show_has_the_policy_and_the_layers(desk: Any) -> None:
    facts = desk.json("tasks", "show", "twice")
    assert facts["max_attempts"] == 2
    assert facts["queue"] == "slow"
    assert facts["schedule"] is None
    assert [layer["name"] for layer in facts["layers"]] == ["metrics", "retry", "run"]
    text = desk("tasks", "show", "twice").stdout
    assert "max_attempts: 2\n" in text
    assert "enforced_by: decide" in text


def test_next_is_an_array_of_instants(desk: Any) -> None:
    instants = desk.json("tasks", "next", "greet", "-n", "3", "--after", "2026-12-25T09:00")
    assert instants == ["2026-12-28T09:00:00+08:00", "2026-12-29T09:00:00+08:00", "2026-12-30T09:00:00+08:00"]
    assert desk("tasks", "next", "greet", "-n", "1", "--after", "2026-12-25T00:59:59+00:00").stdout == "2026-12-25 09:00:00 +0800\n"


@pytest.mark.parametrize("after", ["9999-12-31T23:59:59", "1969-01-01", "0001-01-01"])
def test_next_after_an_instant_that_no_clock_shows(after: str, desk: Any) -> None:
    assert "1971 to 9998" in desk("tasks", "next", "greet", "--after", after, code=2).stderr


def test_next_connects_to_nothing(desk: Any) -> None:
    desk.configure(redis={"url": "unix:///nowhere/at/all.sock"})
    assert len(desk.json("tasks", "next", "greet")) == 5


def test_next_of_a_task_without_schedule(desk: Any) -> None:
    assert desk.json("tasks", "next", "hold") == []
    assert "never fires" in desk("tasks", "next", "hold").stderr


def test_a_paused_task_does_not_fire_but_can_be_run(desk: Any, working: Any) -> None:
    assert desk.json("tasks", "pause", "greet") == {"name": "greet", "paused": True, "held": False}
    row = next(row for row in desk.json("tasks", "list") if row["name"] == "greet")
    assert (row["state"], row["next"]) == ("paused", None)
    assert working.book.paused_schedules() == {"greet"}
    assert desk.json("tasks", "run", "greet", "--wait")["state"] == "succeeded"
    assert "greet is resumed" in desk("tasks", "resume", "greet").stdout
    assert working.book.paused_schedules() == set()


@pytest.mark.parametrize("words", [["pause", "greet", "--hold"], ["pause", "hold"]])
def test_a_held_task_does_not_run(words: list[str], desk: Any, working: Any) -> None:
    desk("tasks", *words)
    run = desk("submit", words[1]).stdout.strip()
    assert "is still pending" in desk("runs", "wait", run, "--timeout", "0.3", code=1).stderr
    assert working.get_run(run).state == "pending"
    desk("tasks", "resume", words[1])
    desk("runs", "cancel", run) if words[1] == "hold" else desk("runs", "wait", run)


@pytest.mark.parametrize("words", [["show"], ["pause"], ["resume"], ["next"], ["run"]])
def test_a_wrong_name_names_the_nearest(words: list[str], desk: Any) -> None:
    result = desk("tasks", *words, "gret", code=2)
    assert "no task named 'gret'; did you mean 'greet'?" in result.stderr
    assert result.stdout == ""


def test_a_schedule_that_a_program_made(desk: Any) -> None:
    with desk.center() as center:
        center.start(["timer"])
        center.add_job("greet:run", "interval", hours=2, id="made")
    rows = {row["name"]: row for row in desk.json("tasks", "list")}
    assert rows["made"]["trigger"] == "every 2 hours"
    assert json.loads(desk("tasks", "show", "made", "-o", "json").stdout)["schedule"]["source"] == "api"
    assert desk.json("tasks", "pause", "made")["paused"] is True
