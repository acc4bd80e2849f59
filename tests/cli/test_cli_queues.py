"""``queues``, ``workers`` and ``stats``: what waits, why, and who works."""

import socket
from typing import Any


def test_queues_are_known_before_their_first_run(desk: Any) -> None:
    rows = {row["name"]: row for row in desk.json("queues", "list")}
    assert set(rows) == {"default", "slow"}
    desk("submit", "twice")
    rows = {row["name"]: row for row in desk.json("queues", "list")}
    assert (rows["slow"]["waiting"], rows["default"]["waiting"]) == (1, 0)
    assert desk("queues", "list").stdout.splitlines()[0].split() == ["name", "waiting", "oldest", "wait", "paused", "order"]


def test_no_queues(desk: Any) -> None:
    desk.write("tasks.yaml", "tasks: {}")
    assert "There are no queues" in desk("queues", "list").stderr


def test_a_paused_queue_keeps_its_runs(desk: Any, working: Any) -> None:
    assert desk("queues", "pause", "slow").stdout == "slow is paused\n"
    run = desk("submit", "twice").stdout.strip()
    desk("runs", "wait", run, "--timeout", "0.3", code=1)
    assert desk.json("queues", "show", "slow")["paused"] is True
    desk("queues", "resume", "slow")
    assert desk.json("runs", "wait", run)[0]["state"] == "succeeded"


def test_show_says_what_holds_runs_back(desk: Any) -> None:
    with desk.center() as center:
        center.queue.pause("task", "twice")
        center.start(["worker"])
        run = center.submit("twice")
        while not desk.json("queues", "show", "slow")["held_back"]:
            pass
    shown = desk.json("queues", "show", "slow")
    assert [(lane["lane"], lane["reason"]) for lane in shown["held_back"]] == [("slow/twice", "paused")]
    assert [first["id"] for first in shown["first"]] == [run]
    text = desk("queues", "show", "slow").stdout
    assert "name: slow\n" in text
    assert "slow/twice" in text
    assert run in text
    assert desk.json("stats")["held_back"][0]["reason"] == "paused"


def test_purge_asks_first(desk: Any) -> None:
    for _ in range(3):
        desk("submit", "twice")
    desk("queues", "purge", "slow", code=1, stdin="n\n")
    assert len(desk.json("runs", "list")) == 3
    result = desk("queues", "purge", "slow", stdin="y\n")
    assert "Cancel 3 waiting Runs of slow?" in result.stderr
    assert result.stdout.endswith("3 cancelled\n")
    assert desk.json("queues", "purge", "slow", "--yes") == {"name": "slow", "purged": 0}


def test_a_wrong_queue_names_the_nearest(desk: Any) -> None:
    for verb in ("show", "pause", "resume", "purge"):
        assert "no queue named 'defalt'; did you mean 'default'?" in desk("queues", verb, "defalt", code=1).stderr


def test_stats_are_lines_of_key_and_value(desk: Any, working: Any) -> None:
    desk("submit", "greet", "--wait")
    desk("submit", "twice", "--delay", "1h")
    lines = desk("stats", "--lang", "zh").stdout.splitlines()
    numbers = dict(line.split(": ") for line in lines)
    assert numbers == {
        "waiting": "0",
        "delayed": "1",
        "running": "0",
        "finished": "1",
        "dead": "0",
        "workers": "1",
        "default.waiting": "0",
        "slow.waiting": "0",
    }
    assert desk.json("queues", "stats") == desk.json("stats")


def test_workers(desk: Any) -> None:
    assert desk.json("workers", "list") == []
    assert "No worker is running" in desk("workers", "list").stderr


def test_a_worker_at_work(desk: Any, working: Any) -> None:
    (worker,) = desk.json("workers", "list")
    assert (worker["host"], worker["running"], worker["queues"]) == (socket.gethostname(), 0, "*")
    assert 0 <= worker["lease_age_ms"] < 60_000
    assert worker["id"] in desk("workers", "list").stdout
