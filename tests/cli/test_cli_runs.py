"""``submit``, ``runs`` and ``dead``: from the request to the end, and what can be done on the way."""

import json
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduler.cli.readable import readable
from scheduler.core.clock import monotonic, now_ms, sleep


def until(condition: Any, timeout_s: float = 10) -> None:
    """Wait for a worker."""
    deadline = monotonic() + timeout_s
    while not condition():
        assert monotonic() < deadline
        sleep(0.005)


def dead_run(desk: Any) -> str:
    return desk.json("submit", "twice", "--params", '{"fail": true}', "--wait", code=1)["id"]


def test_a_task_that_is_broken_is_refused_with_the_reason(desk: Any) -> None:
    desk.plugin("broken")
    desk.write("tasks.yaml", "tasks: {broken: {trigger: cron, args: {hour: 9}}}")
    assert "not_there_at_all" in desk("submit", "broken", code=1).stderr
    assert desk.json("runs", "list") == []
    [row] = desk.json("tasks", "list")
    assert (row["state"], row["next"]) == ("broken", None)


def test_a_narrow_terminal_has_the_whole_id(desk: Any) -> None:
    run = desk.json("submit", "greet")["id"]
    title, row = desk("runs", "list", COLUMNS="60", FORCE_COLOR="1").stdout.splitlines()
    assert run in row
    assert "pending" in row
    assert "\u2026" in title


# ── submit ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_submit_prints_the_id_alone(desk: Any) -> None:
    result = desk("submit", "greet", "--params", '{"who": "you"}', "--id", "my-run")
    assert result.stdout == "my-run\n"
    assert "No worker is running" in result.stderr
    run = desk.center().get_run("my-run")
    assert run.params == {"who": "you"}


def test_submit_options_arrive(desk: Any) -> None:
    at = datetime.fromtimestamp(now_ms() / 1000, UTC) + timedelta(hours=1)
    first = desk.json("submit", "greet", "--priority", "9", "--at", at.isoformat(), "--key", "k")
    assert desk.json("submit", "greet", "--priority", "9", "--at", at.isoformat(), "--key", "k") == first
    run = desk.json("runs", "show", first["id"])
    assert (run["priority"], run["state"]) == (9, "delayed")
    assert datetime.fromisoformat(run["due"]) == at.replace(microsecond=at.microsecond // 1000 * 1000)
    later = desk.json("submit", "greet", "--delay", "1h")
    assert desk.json("runs", "show", later["id"])["state"] == "delayed"


def test_params_come_from_a_file_or_stdin(desk: Any) -> None:
    file = desk.write("params.json", '{"who": "file"}')
    runs = [desk.json("submit", "greet", "--params", f"@{file}"), desk.json("submit", "greet", "--params", "-", stdin='{"who": "pipe"}')]
    assert [desk.json("runs", "show", run["id"])["params"] for run in runs] == [{"who": "file"}, {"who": "pipe"}]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--params", "{who}"], "{who} is not JSON: Expecting property name enclosed in double quotes: line 1 column 2"),
        (["--params", "[1]"], "no JSON object"),
        (["--params", "@nowhere.json"], "No such file"),
        (["--delay", "soon"], "not a duration"),
        (["--wait", "--timeout", "nan"], "not a duration"),
        (["--wait", "--timeout", "-1"], "not a duration"),
        (["--key", ""], "it is empty"),
        (["--at", "tomorrow"], "no instant"),
        (["--at", "9999-12-31T23:59:59"], "no instant of the years"),
        (["--params", '{"a":' * 5000 + "1" + "}" * 5000], "is not JSON: maximum recursion depth"),
        (["--priority", "11"], "1 to 10"),
        (["--id", "a b"], "run id 'a b'"),
        (["--params", '{"whom": 1}'], "did you mean 'who'"),
        (["--params", '{"who": 1}'], "allowed is str"),
    ],
)
def test_wrong_options_are_told(options: list[str], told: str, desk: Any) -> None:
    assert told in " ".join(desk("submit", "greet", *options, code=2).stderr.replace("│", " ").split())
    assert desk.json("runs", "list") == []


def test_an_id_twice_with_another_body_is_a_conflict(desk: Any) -> None:
    desk("submit", "greet", "--id", "one")
    assert "used before" in desk("submit", "hold", "--id", "one", code=1).stderr


def test_submit_and_wait(desk: Any, working: Any) -> None:
    ended = desk.json("submit", "greet", "--wait")
    assert (ended["state"], ended["result"]) == ("succeeded", {"greeted": "world"})
    result = desk("submit", "greet", "--params", '{"fail": true}', "--wait", code=1)
    assert "ValueError: no luck" in result.stdout
    assert "is still" in desk("submit", "hold", "--wait", "--timeout", "200ms", code=1).stderr


def test_a_task_that_no_running_worker_knows_is_told_of(desk: Any, working: Any) -> None:
    desk.write("plugins/later.py", "def run():\n    return 1\n")
    desk.write("tasks.yaml", "tasks: {greet: {trigger: none}, later: {trigger: none}}")
    assert desk("submit", "greet").stderr == ""
    told = "No running worker knows this task: restart the instance.\n"
    assert desk("submit", "later").stderr == told
    assert desk("submit-task", "--task-type", "later").stderr == told
    assert "请重启实例" in desk("submit", "later", "--lang", "zh").stderr


def test_submit_task_speaks_as_older_scripts_expect(desk: Any) -> None:
    told = desk("submit-task", "--task-type", "greet", "--params", '{"who": "x"}', "--lang", "zh").stdout
    assert told.startswith("Task submitted: ")
    run = desk.json("runs", "show", told.removeprefix("Task submitted: ").strip())
    assert (run["priority"], run["params"]) == (5, {"who": "x"})
    assert desk.json("submit-task", "--task-type", "greet", "--priority", "8")["task"] == "greet"


# ── runs ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_list_filters(desk: Any, working: Any) -> None:
    good, bad = desk.json("submit", "greet", "--wait")["id"], dead_run(desk)
    assert {run["id"] for run in desk.json("runs", "list")} == {good, bad}
    assert [run["id"] for run in desk.json("runs", "list", "--state", "dead")] == [bad]
    assert [run["id"] for run in desk.json("runs", "list", "--task", "greet")] == [good]
    assert len(desk.json("runs", "list", "--limit", "1")) == 1
    table = desk("runs", "list").stdout
    assert "ValueError: no luck" in table
    assert re.search(r" \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0800 ", table)
    chinese = desk("runs", "list", "--lang", "zh").stdout
    assert {"成功", "死信", "出错"} <= set(chinese.split())
    assert not {"succeeded", "dead", "error"} & set(chinese.split())
    assert "no such Runs" in desk("runs", "list", "--state", "skipped").stderr
    assert desk("runs", "list", "--state", "gone", code=2).stdout == ""


def test_show_has_the_traceback(desk: Any, working: Any) -> None:
    run = dead_run(desk)
    text = desk("runs", "show", run).stdout
    assert '      raise ValueError("no luck")\n' in text
    facts = desk.json("runs", "show", run)
    assert facts["error"]["type"] == "ValueError"
    assert facts["duration_ms"] >= 0
    assert facts["created"].endswith("+08:00")
    assert re.search(r"^created: '?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \+0800'?$", text, re.MULTILINE)


def test_what_has_several_lines_stands_on_several_lines() -> None:
    assert readable({"traceback": "File x:\n\tif \x1b[1m: \n  ✓"}) == "traceback: |-\n  File x:\n      if \\x1b[1m:\n    ✓\n"


def test_an_unknown_run(desk: Any) -> None:
    for words in (["runs", "show"], ["runs", "logs"], ["runs", "cancel"], ["runs", "retry"], ["runs", "wait"], ["dead", "show"]):
        assert "no Run 'nix'" in desk(*words, "nix", code=1).stderr


def test_control_characters_reach_no_terminal(desk: Any, working: Any) -> None:
    run = desk.json("submit", "greet", "--params", json.dumps({"who": "a\x1b[2Jb"}), "--wait")["id"]
    assert "\x1b" not in desk("runs", "show", run).stdout + desk("runs", "list").stdout


def test_logs(desk: Any, working: Any) -> None:
    run = desk.json("submit", "greet", "--params", '{"lines": 2}', "--wait")["id"]
    assert desk("runs", "logs", run).stdout == "hello world 0\nhello world 1\n"
    assert desk("runs", "logs", "-f", run).stdout == "hello world 0\nhello world 1\n"


def test_logs_of_two_attempts(desk: Any, working: Any) -> None:
    run = dead_run(desk)
    assert desk("runs", "logs", run).stdout == "— attempt 1 —\nhello world 0\n— attempt 2 —\nhello world 0\n"


def test_logs_that_were_written_elsewhere_come_from_the_store(desk: Any, working: Any) -> None:
    run = desk.json("submit", "greet", "--wait")["id"]
    desk.configure(logging={"dir": "elsewhere"})
    assert desk("runs", "logs", run).stdout == "hello world 0\n"


def test_no_logs_yet(desk: Any) -> None:
    run = desk("submit", "greet").stdout.strip()
    assert "printed nothing" in desk("runs", "logs", run).stderr


def test_logs_are_followed_to_the_end(desk: Any, working: Any) -> None:
    run = desk("submit", "hold").stdout.strip()
    until(lambda: working.queue.read_log(run)[0])
    threading.Timer(0.4, working.cancel, [run]).start()
    assert desk("runs", "logs", run, "-f").stdout == "holding\n"
    assert working.get_run(run).state == "cancelled"


def test_cancel(desk: Any, working: Any) -> None:
    run = desk("submit", "hold").stdout.strip()
    until(lambda: working.get_run(run).state == "running")
    assert desk.json("runs", "cancel", run, "--reason", "enough")[0]["cancelled"] is True
    assert "cancelled" in desk("runs", "wait", run, code=1).stdout
    assert working.get_run(run).reason == "enough"
    assert desk("runs", "cancel", run).stdout == f"{run}: cancelled\n"
    assert desk("runs", "cancel", run, "--lang", "zh").stdout == f"{run}: 已取消\n"


def test_what_has_ended_cannot_be_cancelled(desk: Any, working: Any) -> None:
    run = desk.json("submit", "greet", "--wait")["id"]
    result = desk("runs", "cancel", run, code=1)
    assert f"cannot be cancelled: {run}" in result.stderr


def test_retry(desk: Any, working: Any) -> None:
    run = dead_run(desk)
    assert desk("runs", "retry", run).stdout == f"{run}: starts over\n"
    desk("runs", "wait", run, code=1)
    assert working.get_run(run).claims == 4
    good = desk.json("submit", "greet", "--wait")["id"]
    assert "it succeeded" in desk("runs", "retry", good, code=1).stderr


def test_wait_for_several(desk: Any, working: Any) -> None:
    runs = [desk("submit", "greet").stdout.strip() for _ in range(3)]
    assert [run["state"] for run in desk.json("runs", "wait", *runs)] == ["succeeded"] * 3


# ── dead ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_dead_letters(desk: Any, working: Any) -> None:
    assert desk("dead", "list").stderr == "No dead letters.\n"
    first, second = dead_run(desk), dead_run(desk)
    assert {run["id"] for run in desk.json("dead", "list", "--task", "twice")} == {first, second}
    assert desk.json("dead", "show", first)["state"] == "dead"
    assert desk.json("dead", "retry", first) == [{"id": first}]
    desk("runs", "wait", first, code=1)
    assert desk.json("dead", "purge", second) == {"purged": 1}
    assert desk("dead", "purge", "--all").stdout == "1 deleted\n"
    assert desk.json("runs", "list") == []


def test_dead_wants_to_know_which(desk: Any, working: Any) -> None:
    for words in ([], ["x", "--all"]):
        assert "--all" in desk("dead", "purge", *words, code=2).stderr
    run = desk.json("submit", "greet", "--wait")["id"]
    assert "is not dead but succeeded" in desk("dead", "purge", run, code=1).stderr
