"""What a deployment means when nothing is wrong with it."""

from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import yaml

from scheduler.core.errors import ConfigError
from scheduler.settings import load_settings

ROOT = Path(__file__).parents[2]
SEED = """
tasks:
  data_sync:
    trigger: interval
    args:
      minutes: 30
    max_attempts: 3
    retry_delay: 10
    executor: default

  daily_report:
    trigger: cron
    args:
      hour: 9
      minute: 0
      day_of_week: "mon-fri"
    max_attempts: 5
    retry_delay: 30
    executor: processpool

  system_cleanup:
    trigger: cron
    args:
      hour: 2
      minute: 0
    max_attempts: 2
    retry_delay: 60

  health_check:
    trigger: interval
    args:
      seconds: 30
    max_attempts: 1
    retry_delay: 0

  one_time_migration:
    trigger: date
    args:
      run_date: 2023-12-25 10:00:00
"""


def test_defaults(deployment: Any) -> None:
    settings = deployment.load()
    assert settings.scheduler.name == "default"
    assert settings.scheduler.timezone == "Asia/Shanghai"
    assert settings.scheduler.executors.model_dump() == {"default_threads": 20, "process_pool": 5, "async_slots": 200}
    assert settings.scheduler.job_defaults.max_instances == 3
    assert settings.scheduler.job_defaults.misfire_grace_time == timedelta(seconds=30)
    assert settings.redis.url.get_secret_value() == "embedded"
    assert settings.worker.queues == ("*",)
    assert settings.history.retention_days == 30
    assert settings.web.auth.mode == "token"
    assert settings.ingest.rabbitmq is None
    assert settings.monitoring.alert_thresholds.failure_rate == 0.1
    assert settings.logging.format == "auto"
    assert settings.tasks == {}


def test_paths_belong_to_the_folder_of_env_yaml(deployment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment.write("deep/env.yaml", "redis: {data_dir: state}\nlogging: {dir: /var/log/centre}\nscheduler: {plugins: ~/plugins}\n")
    deployment.write("deep/config/dev.yaml", "tasks: {a: {args: {minutes: 5}}}")
    monkeypatch.setenv("HOME", "/home/me")
    settings = load_settings("deep/env.yaml", environ={})
    assert settings.base == tmp_path / "deep"
    assert settings.redis.data_dir == tmp_path / "deep/state"
    assert settings.plugins == Path("/home/me/plugins")
    assert settings.logging.dir == Path("/var/log/centre")
    assert settings.history.url.get_secret_value() == f"sqlite:///{tmp_path}/deep/data/history.db"
    assert settings.tasks["a"].where("args", "minutes") == "deep/config/dev.yaml:1:29"
    assert settings.files == (tmp_path / "deep/env.yaml", tmp_path / "deep/config/dev.yaml")


@pytest.mark.parametrize(
    "url", ["sqlite:////var/h.db", "sqlite://", "sqlite:///:memory:", "mysql+pymysql://root:pw@h:3306/db?charset=utf8mb4"]
)
def test_other_history_addresses_stay_as_they_are(url: str, env: Any) -> None:
    assert env(f"history: {{url: '{url}'}}").history.url.get_secret_value() == url


def test_scheduler_config_names_the_file(deployment: Any) -> None:
    deployment.write("prod/env.yaml", "scheduler: {name: prod, tasks: ../config/dev.yaml}")
    assert deployment.load(SCHEDULER_CONFIG="prod/env.yaml").scheduler.name == "prod"


def test_a_path_wins_over_scheduler_config(deployment: Any) -> None:
    assert load_settings("env.yaml", environ={"SCHEDULER_CONFIG": "nowhere.yaml"}).tasks == {}


def test_with_no_files_at_all_everything_is_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert settings.tasks == {}
    assert settings.base == tmp_path
    assert settings.files == ()


def test_a_folder_of_plugins_that_is_not_there_is_told_once(deployment: Any) -> None:
    deployment.write("env.yaml", "scheduler: {plugins: nowhere}").write("config/dev.yaml", "tasks: {a: {}, b: {}}")
    folder = deployment.folder / "nowhere"
    assert deployment.load().warnings == (f"env.yaml:1:22: scheduler.plugins: there is no folder {folder}",)


def test_without_env_yaml_the_default_task_file_counts(deployment: Any) -> None:
    (deployment.folder / "env.yaml").unlink()
    settings = deployment.write("config/dev.yaml", "tasks: {a: {}}").load()
    assert list(settings.tasks) == ["a"]
    assert settings.warnings == (f"there is no env.yaml in {deployment.folder}: the defaults hold",)


@pytest.mark.parametrize("environ", [{"APP_ENV": "prod"}, {"SCHEDULER__TASKS": "config/prod.yaml"}])
def test_without_env_yaml_a_task_file_that_was_asked_for_must_be_there(environ: dict[str, str], deployment: Any) -> None:
    (deployment.folder / "env.yaml").unlink()
    [problem] = deployment.problems(**environ)
    assert "config/prod.yaml does not exist" in problem


def test_an_env_yaml_that_was_named_must_be_there(deployment: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"^enw.yaml:1:1: enw.yaml does not exist .*; did you mean env.yaml\?; YAML files in \.: env.yaml$"
    ):
        load_settings("enw.yaml", environ={})


def test_empty_sections_and_tasks_mean_their_defaults(deployment: Any) -> None:
    deployment.write("env.yaml", "web:\nscheduler:\n  executors:\n").write("config/dev.yaml", "defaults:\ntasks:\n  a:\n")
    settings = deployment.load()
    assert settings.web.port == 8400
    assert settings.scheduler.executors.process_pool == 5
    assert settings.tasks["a"].config.trigger == "interval"


@pytest.mark.parametrize(
    ("text", "names"),
    [("", []), ("# nothing\n", []), ("tasks:\n", []), ("\ufefftasks: {a: {}}", ["a"]), ("---\ntasks: {a: {}}\n...\n", ["a"])],
)
def test_task_files_with_little_in_them(text: str, names: list[str], deployment: Any) -> None:
    assert list(deployment.write("config/dev.yaml", text).load().tasks) == names


def test_task_files_as_a_list_and_a_glob(deployment: Any) -> None:
    deployment.write("env.yaml", "scheduler: {tasks: [config/dev.yaml, 'teams/**/*.yaml', config/*.yaml]}")
    deployment.write("config/dev.yaml", "tasks: {a: {}}").write("teams/x/jobs.yaml", "tasks: {c: {}}").write(
        "teams/b.yaml", "tasks: {b: {}}"
    )
    settings = deployment.load()
    assert [(name, entry.file.relative_to(deployment.folder).as_posix()) for name, entry in settings.tasks.items()] == [
        ("a", "config/dev.yaml"),
        ("b", "teams/b.yaml"),
        ("c", "teams/x/jobs.yaml"),
    ]


def test_a_task_file_by_its_absolute_path(deployment: Any, tmp_path: Path) -> None:
    deployment.write("elsewhere/t.yaml", "tasks: {a: {}}").write("env.yaml", f"scheduler: {{tasks: '{tmp_path}/elsewhere/*.yaml'}}")
    assert deployment.load().tasks["a"].where() == f"{tmp_path}/elsewhere/t.yaml:1:9"


def test_the_samples_of_the_documentation_load(deployment: Any) -> None:
    settings = deployment.write("config/dev.yaml", SEED).load()
    assert {
        name: (e.config.trigger, e.config.max_attempts, e.config.retry_delay.seconds, e.config.executor)
        for name, e in settings.tasks.items()
    } == {
        "data_sync": ("interval", 3, 10, "default"),
        "daily_report": ("cron", 5, 30, "processpool"),
        "system_cleanup": ("cron", 2, 60, "default"),
        "health_check": ("interval", 1, 0, "default"),
        "one_time_migration": ("date", 1, 0, "default"),
    }
    assert settings.tasks["daily_report"].config.args == {"hour": 9, "minute": 0, "day_of_week": "mon-fri"}
    assert settings.tasks["one_time_migration"].config.args == {"run_date": "2023-12-25 10:00:00"}


def test_the_accessors_of_the_older_api_return_plain_data(deployment: Any) -> None:
    settings = deployment.write("config/dev.yaml", SEED).load()
    scheduler = settings.get_scheduler_config()
    assert scheduler["timezone"] == "Asia/Shanghai"
    assert scheduler["executors"]["default_threads"] == 20
    assert scheduler["job_defaults"] == {"coalesce": False, "max_instances": 3, "misfire_grace_time": 30}
    task = settings.get_tasks_config()["data_sync"]
    assert (task["trigger"], task["args"], task["max_attempts"], task["retry_delay"]) == ("interval", {"minutes": 30}, 3, 10)
    assert settings.get_cache_config()["url"].get_secret_value() == "embedded"


def test_anchors_and_merges_share_what_tasks_have_in_common(deployment: Any) -> None:
    text = """
defaults: {tags: &tags [etl]}
tasks:
  base: &base {priority: 7, tags: *tags, args: {minutes: 1}}
  other: &other {priority: 2, timeout: 5m}
  a: {<<: *base, args: {minutes: 2}}
  b: {<<: [*other, *base]}
"""
    tasks = deployment.write("config/dev.yaml", text).load().tasks
    assert (tasks["a"].config.priority, tasks["a"].config.args, tasks["a"].config.tags) == (7, {"minutes": 2}, ("etl",))
    assert (tasks["b"].config.priority, tasks["b"].config.timeout) == (2, timedelta(minutes=5))
    assert tasks["a"].where("priority") == "config/dev.yaml:4:26"


@pytest.mark.parametrize("text", ["yes", "on", "True", "true"])
def test_where_a_boolean_belongs_the_words_of_yaml_1_1_are_one(text: str, env: Any) -> None:
    assert env(f"redis: {{allow_volatile: {text}}}").redis.allow_volatile is True


def test_lists_may_be_a_single_text(env: Any) -> None:
    assert env("worker: {queues: gpu}").worker.queues == ("gpu",)


def test_a_channel_of_each_kind(env: Any) -> None:
    text = """
notify:
  channels:
    feishu: {url: https://open.example/hook/abc, secret: s3cret}
    ops: {type: email, host: mail.example.org, port: 587, username: centre, password: pw, sender: centre@example.org, to: [ops@example.org]}
  rules:
    - {when: failed, tasks: "etl_*", channels: [ops], after: 3}
"""
    notify = env(text).notify
    assert notify.channels["feishu"].url.get_secret_value() == "https://open.example/hook/abc"
    assert notify.channels["ops"].to == ("ops@example.org",)
    assert notify.rules == [{"when": "failed", "tasks": "etl_*", "channels": ["ops"], "after": 3}]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_no_token_is_needed_on_loopback_when_told_so(host: str, env: Any) -> None:
    assert env(f"web: {{host: '{host}', auth: {{mode: none}}}}").web.auth.mode == "none"


def test_the_shipped_env_yaml_says_the_defaults(deployment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    shipped = load_settings("env.yaml", environ={})
    bare = load_settings("env.yaml", environ={"SCHEDULER_CONFIG": "ignored"})
    assert shipped.scheduler == bare.scheduler
    written = yaml.safe_load((ROOT / "env.yaml").read_text(encoding="utf-8"))
    sections = type(shipped).__dataclass_fields__
    for name in written:
        section = getattr(shipped, name)
        default = type(section).model_validate({}, context={"base": ROOT})
        told = {"tasks"} if name == "scheduler" else set()  # expanded in one, written in the other
        assert section.model_dump(exclude=told) == default.model_dump(exclude=told)
        assert set(written[name]) == set(type(section).model_fields), f"env.yaml shows every key of {name}"
        assert name in sections


@pytest.mark.parametrize("kind", ["dev", "prod"])
def test_the_shipped_task_files_load(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    tasks = load_settings("env.yaml", environ={"APP_ENV": kind}).tasks
    assert {"data_sync", "daily_report", "health_check"} <= set(tasks)


def test_a_thousand_tasks_load_well_under_a_second(deployment: Any) -> None:
    task = """
  task_{0}:
    description: pull new records from the API, number {0}
    trigger: cron
    args: {{hour: 9, minute: 30, day_of_week: mon-fri}}
    params: {{source: api, batch_size: {0}}}
    max_attempts: 3
    retry_delay: 10
    backoff: {{strategy: exponential, max_delay: 1h, jitter: full}}
    retry_on: [ConnectionError]
    timeout: 5m
    rate_limit: "5/1m"
    tags: [etl, nightly]
"""
    deployment.write("config/dev.yaml", "tasks:\n" + "".join(task.format(number) for number in range(1000)))
    start = perf_counter()
    assert len(deployment.load().tasks) == 1000
    assert perf_counter() - start < 3, "measured 0.3 s on two shared cores; ten times that is a fault, not a slow machine"
