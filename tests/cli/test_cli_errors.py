"""What goes wrong is told in one message with the right exit code; tracebacks go to a file, without secrets."""

import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from scheduler.cli.app import app
from scheduler.cli.secret_values import mask_for
from scheduler.settings import load_settings


def test_a_wrong_configuration(desk: Any) -> None:
    desk.write("env.yaml", "wbe: {}\nredis: {url: nonsense}\n")
    result = desk("stats", code=2)
    assert "env.yaml:1:1" in result.stderr
    assert "did you mean web" in result.stderr
    assert "env.yaml:2:" in result.stderr


def test_in_chinese(desk: Any) -> None:
    desk.write("env.yaml", "wbe: {}\nredis: {url: nonsense}\nweb: {port: 70000}\n")
    said = desk("stats", "--lang", "zh", code=2).stderr
    assert said.startswith("错误：" + str(desk.folder))
    assert 'env.yaml:1:1: wbe: 未知的键 "wbe"；是不是 web？；此处可用的键：' in said
    assert "redis.url 必须以其中之一开头：embedded" in said
    assert "web.port 是 70000；它必须是 0 到 65535 的整数" in said
    desk.configure()
    assert "没有名为 'gret' 的任务；是不是 'greet'？；已知的有：greet, hold, twice" in desk("submit", "gret", "--lang", "zh", code=2).stderr
    assert "nix 不是 JSON：" in desk("submit", "greet", "--params", "nix", "--lang", "zh", code=2).stderr


def test_a_missing_configuration(desk: Any) -> None:
    assert "does not exist" in desk("-c", "nowhere.yaml", "stats", code=2).stderr


def test_no_configuration_at_all_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCHEDULER_CONFIG", raising=False)
    result = CliRunner().invoke(app, ["--lang", "en", "tasks", "next", "greet"])
    assert result.stderr.startswith(f"no env.yaml in {tmp_path}; using defaults (-c names another)\n")


def test_the_configuration_is_named_by_the_environment_too(desk: Any) -> None:
    result = CliRunner().invoke(app, ["stats"], env={"SCHEDULER_CONFIG": str(desk.folder / "env.yaml")})
    assert result.exit_code == 0, result.output


def test_a_store_that_is_not_there(desk: Any) -> None:
    desk.configure(redis={"url": "redis://:topsecret@127.0.0.1:1/0"})
    result = desk("stats", code=2)
    assert "nobody listens there. Cure: start the server" in result.stderr
    assert "topsecret" not in result.output


def test_a_wrong_password(desk: Any, client: Any) -> None:
    client.config_set("requirepass", "right-one")
    try:
        assert "wants a password" in desk("stats", code=2).stderr
    finally:
        client.execute_command("AUTH", "right-one")
        client.config_set("requirepass", "")


def test_a_store_that_fails_on_the_way(desk: Any, client: Any) -> None:
    client.acl_setuser("default", commands=["-fcall"], enabled=True, keep=True)
    try:
        assert "its ACL forbids what the centre needs" in desk("queues", "list", code=2).stderr
    finally:
        client.acl_setuser("default", categories=["+@all"], enabled=True, keep=True)


@pytest.mark.parametrize(
    ("words", "near"), [(["tsks"], "tasks"), (["runs", "lst"], "list"), (["submt", "x"], "submit"), (["dctor"], "doctor")]
)
def test_a_mistyped_verb_names_the_nearest(words: list[str], near: str, desk: Any) -> None:
    assert f"Did you mean '{near}'" in desk(*words, code=2).stderr


def test_wrong_roles(desk: Any) -> None:
    assert "allowed are timer,worker,web" in desk("serve", "--roles", "timer,boss", code=2).stderr


def test_what_nobody_expected_is_in_a_file(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.configure(redis={"url": "redis://:topsecret@127.0.0.1:1/0"}, logging={"dir": "logs"})
    monkeypatch.setattr(Path, "write_text", _full_disk)
    result = desk("new", "plugin", "fresh", code=1)
    file = desk.folder / "logs" / "cli.log"
    assert "unexpected RuntimeError: disk of *** is full" not in result.stderr
    assert f"The whole story is in {file}" in result.stderr
    assert "Traceback" not in result.stderr
    text = file.read_text()
    assert "Traceback" in text
    assert "topsecret" not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def _full_disk(*_: object, **__: object) -> None:
    raise RuntimeError("disk of topsecret is full")


def test_a_log_folder_that_cannot_be_written(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place = desk.write("logs", "a file")
    for words in (["serve"], ["worker"]):
        assert f"logging.dir: '{place}' cannot be written (File exists); name a folder" in desk(*words, code=2).stderr
    row = next(row for row in desk.json("doctor", code=1) if row["check"] == "disk of logging.dir")
    assert (row["level"], row["value"]) == ("fail", f"{place} cannot be written")
    place.unlink()
    (place / "cli.log").mkdir(parents=True)
    monkeypatch.setattr(Path, "write_text", _full_disk)
    assert "unexpected RuntimeError" in desk("new", "plugin", "fresh", code=1).stderr


def test_debug_shows_the_traceback(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_text", _full_disk)
    assert "Traceback" in desk("new", "plugin", "fresh", "--debug", code=1).stderr
    said = desk("-c", "nowhere.yaml", "stats", "--debug", code=2).stderr
    assert "Traceback" in said
    assert "does not exist" in said.splitlines()[-1]


def test_a_mistake_in_reading_the_settings_finds_its_way_too(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.settings.load_settings", _full_disk)
    result = desk("stats", code=1)
    file = Path(result.stderr.split("The whole story is in ")[1].split(";")[0])
    assert "Traceback" in file.read_text()
    file.unlink()
    file.parent.rmdir()


def test_every_secret_is_masked(tmp_path: Path) -> None:
    env = tmp_path / "env.yaml"
    env.write_text(
        "scheduler: {tasks: []}\n"
        "redis: {url: 'redis+sentinel://user:pass-word@h:1/m?sentinel_password=sentinel-pw'}\n"
        "history: {url: 'mysql://u:history%2Fpw@h/db'}\n"
        "notify: {channels: {feishu: {url: 'https://example.invalid/hook/abcdef', secret: sign-key}}}\n"
        "ingest: {rabbitmq: {url: 'amqp://u:rabbit-pw@h/'}}\n"
    )
    mask = mask_for(load_settings(env, environ={})).mask
    for secret in (
        "pass-word",
        "sentinel-pw",
        "history/pw",
        "history%2Fpw",
        "https://example.invalid/hook/abcdef",
        "sign-key",
        "rabbit-pw",
    ):
        assert mask(f"x {secret} y") == "x *** y"
    assert mask("embedded default 127.0.0.1") == "embedded default 127.0.0.1"
