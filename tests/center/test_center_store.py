"""What an instance does about its store: one that has lost everything, and one that it shares with another configuration."""

from typing import Any

from scheduler.core.task import Schedule
from scheduler.vitals import Vitals

EVERY_HOUR = {"trigger": "interval", "args": {"hours": 1}}


def logged(caplog: Any, name: str) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == name]


def test_a_store_that_was_emptied_is_told_of_limits_and_schedules_again(desk: Any, client: Any, caplog: Any) -> None:
    desk.started({"simple": {**EVERY_HOUR, "max_instances": 1, "rate_limit": "2/1m"}})
    before = client.hgetall("{cq:t}:task:simple")
    assert before == {"limit": "1", "rates": "2/60000"}
    client.flushall()
    desk.until(lambda: client.hgetall("{cq:t}:task:simple") == before and client.hexists("{cq:t}:schedules", "simple"))
    assert [level for level, text in logged(caplog, "scheduler.queue.instances") if "lost" in text] == ["WARNING"]


def test_schedules_come_back_even_where_others_were_added_to_the_empty_store(desk: Any, client: Any) -> None:
    center = desk.started({"simple": EVERY_HOUR})
    desk.until(lambda: client.hexists("{cq:t}:instances", center.instance))
    added = [Schedule(name=f"added{number}", task="simple", trigger="interval", args={"hours": 1}) for number in range(9)]
    client.flushall()
    for schedule in added:  # so the number of changes soon is greater than it was
        center.add_schedules([schedule])
    desk.until(lambda: client.hexists("{cq:t}:schedules", "simple"))


def test_without_a_timer_the_limits_are_told_again_too(desk: Any, client: Any) -> None:
    desk.center({"simple": {"trigger": "none", "max_instances": 1}}).start([])
    desk.until(lambda: client.exists("{cq:t}:instances"))
    client.flushall()
    desk.until(lambda: client.hgetall("{cq:t}:task:simple") == {"limit": "1"})


def test_another_configuration_is_told_by_both_names_and_each_change_by_its_own(desk: Any, caplog: Any) -> None:
    desk.plugin("other", "def run(): pass")
    caplog.set_level("INFO")
    a = desk.started({"simple": EVERY_HOUR, "other": EVERY_HOUR})
    assert "configuration" not in Vitals(a).checks()
    caplog.clear()
    b = desk.started({"simple": {"trigger": "interval", "args": {"hours": 2}}})
    assert logged(caplog, "scheduler.queue.instances")[0] == (
        "WARNING",
        f"{b.instance} has another configuration than {a.instance}: schedules and limits are those of whichever started last",
    )
    assert logged(caplog, "scheduler.timing.timer") == [("INFO", "schedule ~ simple"), ("INFO", "schedule - other")]
    assert Vitals(b).checks()["configuration"] == (True, f"differs from {a.instance}'s")
    desk.until(lambda: Vitals(a).checks().get("configuration") == (True, f"differs from {b.instance}'s"))
    a.shutdown()
    desk.until(lambda: "configuration" not in Vitals(b).checks())


def test_a_restart_with_another_configuration_is_no_conflict(desk: Any, caplog: Any) -> None:
    desk.started({"simple": EVERY_HOUR}).shutdown()
    desk.started({"simple": {"trigger": "interval", "args": {"hours": 2}}})
    assert logged(caplog, "scheduler.queue.instances") == []
