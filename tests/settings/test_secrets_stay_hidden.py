"""No password of the configuration may be printed: not by repr, str, JSON, or an error."""

import json
from typing import Any

import pytest

from scheduler.settings.fields import SecretUrl

PASSWORD = "s3cr3t"  # noqa: S105 - what every test looks for
ENV = f"""
redis: {{url: "rediss://user:{PASSWORD}@host:6379/0?password={PASSWORD}"}}
history: {{url: "mysql+pymysql://root:{PASSWORD}@host/db"}}
ingest: {{rabbitmq: {{url: "amqp://guest:{PASSWORD}@host/"}}}}
notify:
  channels:
    feishu: {{url: "https://open.example/hook/{PASSWORD}", secret: {PASSWORD}}}
    email: {{password: {PASSWORD}}}
"""


def test_nothing_prints_a_secret(deployment: Any) -> None:
    settings = deployment.write("env.yaml", ENV).write("config/dev.yaml", "tasks: {a: {params: {token: '${TOKEN}'}}}").load(TOKEN=PASSWORD)
    parts = [settings.redis, settings.history, settings.ingest, settings.notify]
    texts = [repr(settings), str(settings), repr(settings.tasks), str(settings.get_cache_config())]
    texts += [f"{part!r} {part} {part.model_dump()} {part.model_dump_json()} {json.dumps(part.model_dump(mode='json'))}" for part in parts]
    assert [text for text in texts if PASSWORD in text] == []
    assert settings.redis.url.get_secret_value().count(PASSWORD) == 2
    assert settings.notify.channels["feishu"].secret.get_secret_value() == PASSWORD


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:pw@host:6379/0", "redis://***@host:6379/0"),
        ("redis://user:p/w@rd@host/0", "redis://***@host/0"),
        ("redis://host/0?password=pw", "redis://host/0?***"),
        ("redis+sentinel://u:p@a:1,b:2/main", "redis+sentinel://***@a:1,b:2/main"),
        ("embedded", "embedded"),
        ("sqlite:///data/history.db", "sqlite:///data/history.db"),
    ],
)
def test_an_address_shows_where_but_not_who(url: str, shown: str) -> None:
    assert str(SecretUrl(url)) == shown
    assert repr(SecretUrl(url)) == f"SecretUrl('{shown}')"


@pytest.mark.parametrize(
    "text",
    [
        f"redis: {{url: 'http://u:{PASSWORD}@h'}}",
        f"redis: {{url: [{PASSWORD}]}}",
        f"redis: {{ulr: {PASSWORD}}}",
        f"web: {{host: [], port: 'http://u:{PASSWORD}@h'}}",
        f"notify: {{channels: {{email: {{password: [{PASSWORD}], port: x}}}}}}",
        "web: {port: '${PW}'}",
        "logging: {level: '${PW}', format: 'a${PW}'}",
        "scheduler: {timezone: '${PW}', name: '${PW} X'}",
        "worker: {shutdown_timeout: '${PW}'}",
        "monitoring: {alert_thresholds: {failure_rate: '${PW}'}}",
        "redis: {url: '${PW}://', allow_volatile: '${PW}'}",
    ],
)
def test_no_error_shows_a_secret(text: str, deployment: Any) -> None:
    problems = deployment.write("env.yaml", text).problems(PW=PASSWORD, SCHEDULER__WORKER__PROCESSES=PASSWORD)
    assert PASSWORD not in "".join(problems)
    assert len(problems) >= 2


def test_a_value_that_was_expanded_is_shown_as_written(deployment: Any) -> None:
    deployment.write("env.yaml", "web:\n  port: ${PORT}\nscheduler: {name: '${WHO:-Big} Centre'}\n")
    port, name = deployment.problems(PORT="x")
    assert port == "env.yaml:2:9: web.port is ${PORT}; it must be a whole number from 0 to 65535"
    assert name.startswith('env.yaml:3:19: scheduler.name is "${WHO:-Big} Centre"; it must be a name: 1 to 64 of a-z, 0-9')


def test_a_long_value_is_cut(deployment: Any) -> None:
    [problem] = deployment.write("env.yaml", f"web: {{port: {'x' * 500}}}").problems()
    assert len(problem) < 200
    assert "xxx…;" in problem
