"""The environment over env.yaml: overrides, .env, the names of the older plug-in, and ${…} in values."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduler.settings.environment import read_variables


def test_an_override_of_each_type(env: Any) -> None:
    settings = env(
        "web: {port: 1, host: 10.0.0.1}\nworker: {queues: [x]}\n",
        {
            "SCHEDULER__WEB__PORT": "9000",
            "SCHEDULER__REDIS__ALLOW_VOLATILE": "true",
            "SCHEDULER__REDIS__URL": "redis://${literal}@h",
            "SCHEDULER__WORKER__QUEUES": "gpu, default",
            "SCHEDULER__WORKER__SHUTDOWN_TIMEOUT": "45",
            "SCHEDULER__WORKER__IDLE_TIMEOUT": "5m",
            "SCHEDULER__MONITORING__ALERT_THRESHOLDS__FAILURE_RATE": "0.5",
            "SCHEDULER__LOGGING__LEVEL": "debug",
            "SCHEDULER__SCHEDULER__NAME": "blue",
        },
    )
    assert (settings.web.port, settings.web.host) == (9000, "10.0.0.1")
    assert settings.redis.allow_volatile is True
    assert settings.redis.url.get_secret_value() == "redis://${literal}@h"
    assert settings.worker.queues == ("gpu", "default")
    assert settings.worker.shutdown_timeout == timedelta(seconds=45)
    assert settings.worker.idle_timeout == timedelta(minutes=5)
    assert settings.monitoring.alert_thresholds.failure_rate == 0.5
    assert settings.logging.level == "DEBUG"
    assert settings.scheduler.name == "blue"


def test_the_section_scheduler_may_be_left_out_of_a_name(deployment: Any) -> None:
    deployment.write("a.yaml", "tasks: {a: {}}").write("b.yaml", "tasks: {b: {}}")
    settings = deployment.load(SCHEDULER__TIMEZONE="UTC", SCHEDULER__JOB_DEFAULTS__COALESCE="yes", SCHEDULER__TASKS="a.yaml,b.yaml")
    assert settings.scheduler.timezone == "UTC"
    assert settings.scheduler.job_defaults.coalesce is True
    assert list(settings.tasks) == ["a", "b"]


def test_lists_and_mappings_are_written_as_yaml(env: Any) -> None:
    variables = {"SCHEDULER__WORKER__QUEUES": '["gpu", default]', "SCHEDULER__JOB_DEFAULTS": "{max_instances: 1, coalesce: true}"}
    settings = env("", variables)
    assert settings.worker.queues == ("gpu", "default")
    assert settings.scheduler.job_defaults.max_instances == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[gpu", ":2:1: not valid YAML: did not find expected ',' or ']'"),
        ("[gpu, 5]", ":1:7: worker.queues[2] is 5; it must be text"),
        ("[gpu, 22:30]", ":1:7: unquoted, 22:30 is the number 1350"),
    ],
)
def test_a_wrong_list_has_a_place_in_the_variable(value: str, message: str, deployment: Any) -> None:
    problem = deployment.problems(SCHEDULER__WORKER__QUEUES=value)[0]
    assert problem.startswith(f"environment variable SCHEDULER__WORKER__QUEUES{message}")


def test_free_values_get_the_type_they_look_like(env: Any) -> None:
    settings = env("", {"SCHEDULER__NOTIFY__RULES": '[{count: 3, ratio: 0.5, all: true, name: ops, at: "22:30"}]'})
    assert settings.notify.rules == [{"count": 3, "ratio": 0.5, "all": True, "name": "ops", "at": "22:30"}]


def test_an_empty_variable_overrides_nothing(env: Any) -> None:
    assert env("web: {port: 1}", {"SCHEDULER__WEB__PORT": "", "GRID_ASYNC_TASK_FEISHU_WEBHOOK_URL": ""}).web.port == 1


def test_names_with_one_underscore_are_others(env: Any) -> None:
    assert env("", {"SCHEDULER_TOKEN": "x", "SCHEDULERX": "y"}).tasks == {}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SCHEDULER__WEB__PROT", "1", 'web.prot: unknown key "prot"; did you mean port?'),
        ("SCHEDULER__WBE__PORT", "1", 'wbe: unknown key "wbe"; did you mean web?'),
        ("SCHEDULER__WEB__PORT", "9e3", "web.port must be a whole number from 0 to 65535"),
        ("SCHEDULER__WEB__AUTH", "token", "web.auth must be a mapping"),
        ("SCHEDULER__LOGGING__LEVEL", "loud", "logging.level must be one of DEBUG, INFO"),
        ("SCHEDULER__MONITORING__ALERT_THRESHOLDS__FAILURE_RATE", "half", "must be a number from 0 to 1"),
        ("GRID_ASYNC_TASK_LOG_LEVL", "INFO", "did you mean GRID_ASYNC_TASK_LOG_LEVEL?"),
    ],
)
def test_wrong_variables_are_named_without_their_value(name: str, value: str, message: str, deployment: Any) -> None:
    [problem] = deployment.problems(**{name: value})
    assert problem.startswith(f"environment variable {name}: ")
    assert message in problem
    assert value not in problem.replace(name, "").split()


def test_the_mistake_of_the_file_is_told_where_a_mapping_belongs(deployment: Any) -> None:
    assert deployment.write("env.yaml", "web: 8400").problems(SCHEDULER__WEB__PORT="1") == [
        "environment variable SCHEDULER__WEB__PORT: web is a value, not a section",
        "env.yaml:1:6: web is 8400; it must be a mapping: keys with values",
    ]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("web: {port: 1}", "SCHEDULER__WEB__PORT__X", "port is a value, not a section"),
        ("", "SCHEDULER__WEB__PORT__X", "web.port must be a whole number from 0 to 65535"),
        ("scheduler: {tasks: config/dev.yaml}", "SCHEDULER__TASKS__A__PRIORITY", "tasks is a value, not a section"),
        ("", "SCHEDULER__TASKS__A__PRIORITY", "scheduler.tasks is a mapping; it must be a text or a list of texts"),
    ],
)
def test_an_override_below_a_value_is_told(text: str, name: str, message: str, deployment: Any) -> None:
    assert deployment.write("env.yaml", text).problems(**{name: "5"}) == [f"environment variable {name}: {message}"]


def test_a_name_with_one_underscore_too_few_is_a_warning(deployment: Any) -> None:
    warning = deployment.load(SCHEDULER_WEB_PORT="tcp://10.0.0.1:80").warnings[0]
    assert warning == "environment variable SCHEDULER_WEB_PORT: this name sets nothing; did you mean SCHEDULER__WEB__PORT?"


def test_an_override_does_not_reach_through_an_alias(env: Any) -> None:
    text = "ingest:\n  rabbitmq: &r {url: amqp://h, queue: q}\n"
    assert env(text, {"SCHEDULER__INGEST__RABBITMQ__QUEUE": "other"}).ingest.rabbitmq.queue == "other"


def test_the_names_of_the_older_plug_in(env: Any) -> None:
    settings = env(
        "logging: {level: ERROR}",
        {
            "GRID_ASYNC_TASK_AMQP_URL": "amqp://guest:guest@localhost:5672/",
            "GRID_ASYNC_TASK_QUEUE": "jobs",
            "GRID_ASYNC_TASK_MYSQL_URL": "mysql+pymysql://root:password@localhost:3306/task_db?charset=utf8mb4",
            "GRID_ASYNC_TASK_TABLE_PREFIX": "grid_async_task_",
            "GRID_ASYNC_TASK_TABLE_NAME": "tasks",
            "GRID_ASYNC_TASK_MAX_RETRY_COUNT": "3",
            "GRID_ASYNC_TASK_RETRY_DELAY": "60",
            "GRID_ASYNC_TASK_IDLE_TIMEOUT": "120",
            "GRID_ASYNC_TASK_LOG_LEVEL": "DEBUG",
            "GRID_ASYNC_TASK_LOG_DIR": "/var/log/grid",
            "GRID_ASYNC_TASK_FEISHU_WEBHOOK_URL": "https://open.example/hook/x",
        },
    )
    rabbitmq = settings.ingest.rabbitmq
    assert (rabbitmq.url.get_secret_value(), rabbitmq.queue, rabbitmq.prefetch) == ("amqp://guest:guest@localhost:5672/", "jobs", 1)
    assert (rabbitmq.max_retry_count, rabbitmq.retry_delay) == (3, timedelta(seconds=60))
    assert (settings.history.table_prefix, settings.history.table_name) == ("grid_async_task_", "tasks")
    assert settings.history.url.get_secret_value().startswith("mysql+pymysql://root:password@")
    assert settings.worker.idle_timeout == timedelta(seconds=120)
    assert (settings.logging.level, settings.logging.dir) == ("DEBUG", Path("/var/log/grid"))
    assert settings.notify.channels["feishu"].url.get_secret_value() == "https://open.example/hook/x"


def test_our_own_names_win_over_the_older_ones(env: Any) -> None:
    assert env("", {"GRID_ASYNC_TASK_LOG_LEVEL": "DEBUG", "SCHEDULER__LOGGING__LEVEL": "ERROR"}).logging.level == "ERROR"


def test_values_are_expanded(deployment: Any) -> None:
    deployment.write("secret/redis", "redis://:p@h:6379/0\n").write(
        "env.yaml",
        """
redis: {url: "${file:secret/redis}"}
web:
  port: ${PORT}
  host: "${HOST:-127.0.0.1}"
worker: {processes: "${N:-2}", queues: ["${Q}", "a-${Q}"]}
scheduler: {name: $${x}, job_defaults: {coalesce: "${C}"}}
""".replace("$${x}", '"${X:-blue}"'),
    )
    settings = deployment.load(PORT="9000", HOST="", Q="gpu", C="on")
    assert settings.redis.url.get_secret_value() == "redis://:p@h:6379/0"
    assert (settings.web.port, settings.web.host) == (9000, "127.0.0.1")
    assert settings.worker.processes == 2
    assert settings.worker.queues == ("gpu", "a-gpu")
    assert settings.scheduler.name == "blue"
    assert settings.scheduler.job_defaults.coalesce is True


def test_expansion_in_a_task(deployment: Any) -> None:
    text = """
tasks:
  a:
    owner: ${OWNER}
    timeout: ${T:-}
    args: {minutes: "${M}"}
    params:
      number: ${M}
      word: ${W}
      text: "${M}"
      money: $${M}
      empty: ${E:-}
"""
    config = deployment.write("config/dev.yaml", text).load(OWNER="42", M="5", W="no").tasks["a"].config
    assert config.owner == "42"
    assert config.timeout is None
    assert config.args == {"minutes": "5"}
    assert config.params == {"number": 5, "word": "no", "text": "5", "money": "${M}", "empty": None}


def test_a_secret_file_that_is_no_text(deployment: Any) -> None:
    deployment.write("key", b"\xff\xfe").write("env.yaml", "redis:\n  url: ${file:key}\n")
    assert deployment.problems() == ["env.yaml:2:8: ${file:key} cannot be read: it is not UTF-8 text"]


DOTENV = r"""
# comment
PLAIN=one two # three
export EXPORTED = spaced
HASH=a#b
EMPTY=
ONLY= # nothing
SINGLE='as $is \n' # note
DOUBLE="two\nlines \"quoted\""
"""


def test_dotenv(deployment: Any) -> None:
    deployment.write(".env", DOTENV)
    variables = read_variables(Path(".env"), {"PLAIN": "wins"}, problems := [])
    assert problems == []
    assert {name: variable.value for name, variable in variables.items()} == {
        "PLAIN": "wins",
        "EXPORTED": "spaced",
        "HASH": "a#b",
        "EMPTY": "",
        "ONLY": "",
        "SINGLE": r"as $is \n",
        "DOUBLE": 'two\nlines "quoted"',
    }


def test_dotenv_is_under_the_environment_and_over_env_yaml(deployment: Any) -> None:
    deployment.write(".env", "SCHEDULER__WEB__PORT=9000\nSCHEDULER__LOGGING__LEVEL=DEBUG\nPW=secret\n").write(
        "env.yaml", "redis: {url: 'redis://:${PW}@h'}"
    )
    settings = deployment.load(SCHEDULER__WEB__PORT="9001")
    assert (settings.web.port, settings.logging.level) == (9001, "DEBUG")
    assert settings.redis.url.get_secret_value() == "redis://:secret@h"


def test_mistakes_in_dotenv_have_a_line_and_no_value(deployment: Any) -> None:
    deployment.write(".env", 'GOOD=1\n  not a line s3cret\nOPEN="s3cret\nSCHEDULER__WEB__PORT=s3cret\n')
    problems = deployment.problems()
    assert [problem.partition(" ")[0] for problem in problems] == [".env:2:3:", ".env:3:1:", ".env:4:1:"]
    assert "web.port must be a whole number" in problems[2]
    assert "s3cret" not in "".join(problems)


def test_a_dotenv_that_is_not_utf8(deployment: Any) -> None:
    assert deployment.write(".env", b"A=1\nB=\xe9\n").problems() == [".env:2:3: the file is not UTF-8 text; save it as UTF-8"]


def test_a_dotenv_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.symlink_to("/proc/self/mem")  # a file that opens and cannot be read, for root too
    read_variables(file, {}, problems := [])
    assert [str(problem) for problem in problems] == [f"{file}: the file cannot be read: Input/output error"]
