"""Broken configuration files, one mistake each: ▶ stands where the message must point, and every text must be in it."""

import os
from itertools import pairwise
from typing import Any

import pytest

ENV = [
    # keys
    ("▶wbe: {port: 1}", 'unknown key "wbe"', "did you mean web?", "known here: history, ingest"),
    ("web: {▶prot: 1}", 'web.prot: unknown key "prot"', "did you mean port?", "auth, host, port"),
    ("scheduler:\n  ▶job_stores: {}", 'unknown key "job_stores"'),
    ("scheduler:\n  executors:\n    ▶default_thread: 5", "did you mean default_threads?"),
    ("web: {port: 1}\nredis: {}\n▶web: {port: 2}", 'duplicate key "web"', "first at line 1", "keep one"),
    ("▶8400: {}", "the key 8400", 'quote it: "8400"'),
    ("▶22:30: {}", "the key 22:30", 'quote it: "22:30"'),
    ("▶~: 1", "the key ~"),
    ("notify:\n  rules:\n    - {▶on: failed}", "the key on", 'quote it: "on"'),
    ("? ▶[a, b]\n: 1", "a key must be plain text"),
    # types and ranges
    ("web: {port: ▶99999}", "web.port is 99999", "whole number from 0 to 65535"),
    ("web: {port: ▶http}", "web.port is http", "whole number from 0 to 65535"),
    ('web: {port: ▶"8400"}', 'web.port is "8400"', "whole number"),
    ("web: {port: ▶true}", "web.port is true", "whole number"),
    ("web: {port: ▶84.5}", "web.port is 84.5", "whole number"),
    ("web: {▶port: [1]}", "web.port must be a whole number"),
    ("web: {host: ▶10}", "web.host is 10", "must be text", 'quote it: "10"'),
    ("web: {host: ▶''}", "web.host", "must not be empty"),
    ("web: ▶8400", "web is 8400", "must be a mapping"),
    ("▶web: [8400]", "web is a list", "must be a mapping"),
    ("web:\n  ▶auth:\n    - token", "web.auth is a list", "must be a mapping"),
    ("redis: {allow_volatile: ▶maybe}", "redis.allow_volatile is maybe", "true or false"),
    ("monitoring:\n  alert_thresholds: {failure_rate: ▶10}", "must be a number from 0 to 1"),
    ("monitoring: {stats_interval: ▶0}", "monitoring.stats_interval is 0", "longer than 0"),
    ("worker: {shutdown_timeout: ▶soon}", "worker.shutdown_timeout is soon", '"30s", "5m"'),
    ("worker: {shutdown_timeout: ▶-1}", "worker.shutdown_timeout is -1", "must be a duration"),
    ("worker: {shutdown_timeout: ▶99999999999d}", "must be a duration"),
    ("worker: {lease: ▶1ms}", "worker.lease is 1ms", "at least 1s"),
    ("scheduler: {leader_lease: ▶0.5}", "at least 1s"),
    ("worker: {max_memory: ▶10}", "worker.max_memory is 10", "at least 32MiB", "or 0"),
    ("worker: {queues: [gpu, ▶7]}", "worker.queues[2] is 7", "must be text"),
    ("worker: {▶queues: {gpu: 1}}", "worker.queues is a mapping", "a text or a list of texts"),
    ("scheduler: {tasks: ▶5}", "scheduler.tasks is 5", "a text or a list of texts"),
    ("scheduler: {tasks: [config/dev.yaml, ▶5]}", "scheduler.tasks[2] is 5", "must be text"),
    ("redis: {data_dir: ▶5}", "redis.data_dir is 5", "must be a path"),
    ("logging: {level: ▶loud}", "logging.level is loud", "DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ("logging: {format: ▶jsn}", "auto, pretty, json", "did you mean json?"),
    ("history: {table_name: ▶a-b}", "history.table_name is a-b", "letters, digits and _"),
    ("history: {retention_days: ▶0}", "whole number from 1 to"),
    ("scheduler: {name: ▶My Centre}", "scheduler.name is My Centre", "1 to 64 of a-z"),
    ("scheduler: {timezone: ▶Asia/Shangai}", "scheduler.timezone is Asia/Shangai", "did you mean Asia/Shanghai?"),
    ("scheduler: {timezone: ▶Atlantis}", "time zone of the IANA database", "Europe/Berlin"),
    ("scheduler: {job_defaults: {max_instances: ▶0}}", "whole number of at least 1"),
    ("redis: {url: ▶http://localhost}", "redis.url must begin with one of embedded, redis://, rediss://", "unix://"),
    ("redis: {url: ▶'redis://u:pw@h:abc/0'}", "redis.url redis://u:***@h:abc/0: 'h:abc' is not a host with a port"),
    ("redis: {url: ▶'redis://h:99999'}", "port 99999 is not between 1 and 65535"),
    ("redis: {url: ▶'redis://h/zero'}", "'zero' is not the number of a database"),
    ("redis: {url: ▶'redis://h?sockettimeout=3'}", "did you mean 'socket_timeout'?"),
    ("redis: {url: ▶'redis+sentinel://h:1'}", "name is missing"),
    ("redis: {url: ▶embeded}", "did you mean embedded?"),
    ("history: {url: ▶oracle://x}", "history.url must begin with one of sqlite://", "postgresql://"),
    ("ingest:\n  ▶rabbitmq: {queue: q}", "ingest.rabbitmq.url is missing"),
    ("notify:\n  channels:\n    ▶Feishu: {}", 'notify.channels: "Feishu" must be a name'),
    ("notify:\n  channels:\n    ops: {type: ▶wecon}", "feishu, dingtalk, wecom", "did you mean wecom?"),
    ("▶web: {host: 0.0.0.0, auth: {mode: none}}", "auth.mode none", "loopback"),
    ("▶web: {host: example.org, auth: {mode: none}}", "auth.mode none", "example.org"),
    # words that YAML 1.1 and 1.2 read differently
    ("worker: {shutdown_timeout: ▶22:30}", "22:30", "1350", 'quote it if it is text: "22:30"'),
    ("worker: {shutdown_timeout: ▶0600}", "0600", "384"),
    ("worker: {shutdown_timeout: ▶1_000}", "1_000", "1000"),
    ("worker: {shutdown_timeout: ▶1e3}", "1e3", "some YAML readers"),
    ("web: {auth: {mode: ▶off}}", "web.auth.mode is off", "YAML 1.1", "token, none"),
    ("scheduler: {name: ▶no}", "scheduler.name is no", "YAML 1.1 reads as true or false", 'quote it: "no"'),
    ("notify: {rules: [{when: ▶yes}]}", "yes is true to YAML 1.1", 'quote it: "yes"'),
    # expansion
    ("redis: {url: ▶'${REDIS_URL}'}", "REDIS_URL is not set", "${NAME:-default}"),
    ("scheduler: {tasks: ▶'config/${STAGE}.yaml'}", "STAGE is not set"),
    ("redis: {url: ▶'redis://${USER_1}:${PASS_1}@h'}", "USER_1, PASS_1 are not set"),
    ("redis: {url: ▶'${file:/nowhere/url}'}", "${file:/nowhere/url} cannot be read: No such file"),
    ("redis: {url: ▶'${not a name}'}", "${NAME}, ${NAME:-default} or ${file:/path}", "$${"),
    # syntax
    ("web:\n  port: 1\n ▶host: x", "not valid YAML"),
    ("web: {host: ▶%h}", "not valid YAML", "begins with % must be quoted"),
    ("web:\n▶\thost: x", "not valid YAML", "tab", "spaces"),
    ("web: {host: $▶{HOST}}", "not valid YAML", "quotes around a text with ${…}"),
    ("web: {host: a▶: b: c}", "not valid YAML"),
    ("web: host▶: x", "not valid YAML", 'quote a text that contains ": "'),
    ("web: [1, 2\n▶", "not valid YAML", "begins at line 1"),
    ("web: {host: ▶\x07}", "control character '\\x07'"),
    ("{web: {}}▶}", "not valid YAML"),
    ("web: {}\n▶---\nweb: {}", "one document"),
    ("▶- web", "must be a mapping", "key: value"),
    ("web: {host: ▶!!str x}", "the YAML tag tag:yaml.org,2002:str is not allowed"),
    ("web: ▶*nothing", "*nothing", "no anchor &nothing"),
    ("web: {host: ▶*/2}", "a text that begins with * must be quoted", '"*/2"'),
    ("web:\n  host: ▶* * * * *", '"* * * * *"'),
    ("web: ▶& x", 'begins with & must be quoted: "& x"'),
    ("web: ▶! x", "a text that begins with ! must be quoted"),
    ("redis: {▶password: x}", "did you mean url: redis://user:password@host:6379/0?"),
    ("web: &web\n  auth: ▶*web", "no anchor &web is complete"),
    ("web:\n  ▶<<: 5", "<< must be followed by an alias of a mapping"),
]

TASKS = [
    ("▶tsks: {}", 'unknown key "tsks"', "did you mean tasks?"),
    ("▶jobs: {}", "did you mean tasks?"),
    ("▶tasks: [a]", "tasks is a list", "must be a mapping"),
    ("tasks:\n  a: {}\n  ▶a: {}", 'duplicate key "a"', "first at line 2"),
    ("tasks:\n  ▶Data Sync: {}", 'tasks: "Data Sync" must be a name'),
    ("tasks:\n  a: ▶run", "tasks.a is run", "must be a mapping"),
    ("tasks: {a: {▶timout: 5}}", 'tasks.a.timout: unknown key "timout"', "did you mean timeout?"),
    ("tasks: {a: {▶max_retries: 3}}", "did you mean max_attempts, which counts the first try too?"),
    ("tasks: {a: {▶backoff_strategy: linear}}", "backoff: {strategy: …}"),
    ("tasks: {a: {▶backoff_interval: 30}}", "did you mean retry_delay?"),
    ("tasks: {a: {▶min_gpu_memory_gb: 4}}", "did you mean gpu: {min_memory_gb: …}?"),
    ("tasks: {a: {▶minutes: 5}}", "did you mean the same key under args:?"),
    ("tasks: {a: {▶cron: '0 9 * * *'}}", "trigger: cron with args"),
    ("tasks: {a: {▶zzz: 5}}", "known here: args, backoff, catch_up_max"),
    ("tasks: {a: {trigger: ▶corn}}", "tasks.a.trigger is corn", "interval, cron, date", "did you mean cron?"),
    ("tasks: {a: {▶args: [1]}}", "tasks.a.args is a list", "must be a mapping"),
    ("tasks: {a: {args: {hour: ▶09}}}", "09", "quote it"),
    ("tasks: {a: {params: {flag: ▶no}}}", "no is false to YAML 1.1", "true or false"),
    ("tasks: {a: {params: {deep: [{at: ▶22:30}]}}}", "22:30", "1350"),
    ("tasks: {a: {params: {id: ▶12345678901234567890}}}", "quote it"),
    ("tasks: {a: {params: {▶no: 1}}}", "the key no"),
    ("tasks: {a: {params: {x: ▶!!python/object/apply:os.system [ls]}}}", "the YAML tag tag:yaml.org,2002:python/object/apply:os.system"),
    ("tasks: {a: {executor: ▶process}}", "default, processpool, asyncio, ray", "did you mean processpool?"),
    ("tasks: {a: {priority: ▶11}}", "tasks.a.priority is 11", "from 1 to 10"),
    ("tasks: {a: {priority: ▶high}}", "tasks.a.priority is high", "from 1 to 10"),
    ("tasks: {a: {max_attempts: ▶0}}", "tasks.a.max_attempts is 0", "from 1 to 10000"),
    ("tasks: {a: {timeout: ▶0}}", "tasks.a.timeout is 0", "longer than 0"),
    ("tasks: {a: {exec_timeout: ▶never}}", "tasks.a.exec_timeout is never", "must be a duration"),
    ("tasks: {a: {timeout: 5, ▶task_timeout: 6}}", '"task_timeout" is another name of "timeout"', "keep one"),
    ("tasks: {a: {backoff: {strategy: ▶exp}}}", "did you mean exponential?"),
    ("tasks: {a: {backoff: ▶linear}}", "tasks.a.backoff is linear", "must be a mapping"),
    ("tasks: {a: {backoff: {▶factor: 2}}}", "did you mean multiplier?"),
    ("tasks: {a: {rate_limit: ▶5 per minute}}", 'such as "5/1m" or "10/s"'),
    ("tasks: {a: {rate_limit: ▶0/1m}}", 'such as "5/1m"'),
    ("tasks: {a: {rate_limit: ▶5/3x}}", 'such as "5/1m"'),
    ("tasks: {a: {rate_limit: ▶5}}", "tasks.a.rate_limit is 5", 'such as "5/1m"'),
    ("tasks: {a: {timeout: ▶99999999999999}}", "less than 10^12 s"),
    ("tasks: {a: {timeout: ▶5min}}", "did you mean 5m?"),
    ("tasks: {a: {timeout: ▶5M}}", "did you mean 5m?"),
    ("tasks: {a: {memory_limit: ▶2G}}", "did you mean 2GiB?"),
    ("tasks: {a: {▶time\u200bout: 5}}", "'time\\u200bout': it has ZERO WIDTH SPACE", "did you mean timeout?"),
    ("tasks:\n  a:\n    trigger: none\n    ▶executor:default\n", "not valid YAML", "a space belongs after the colon"),
    ("tasks:\n  a: ▶executor:default", "a space belongs after the colon"),
    ("tasks: {a: {▶rate_limit: {max_calls: 5}}}", "tasks.a.rate_limit.time_window is missing"),
    ("tasks: {a: {rate_limit: [5/1m, {max_calls: ▶x, time_window: 1}]}}", "tasks.a.rate_limit[2].max_calls is x"),
    ("tasks: {a: {rate_limit: {max_calls: 1, time_window: 1, ▶burst: 3}}}", 'tasks.a.rate_limit.burst: unknown key "burst"'),
    ("tasks: {a: {gpu: {▶memory: 4}}}", "did you mean min_memory_gb?"),
    ("tasks: {a: {gpu: {min_memory_gb: 4, ▶min_gpu_memory_gb: 4}}}", "another name of"),
    ("tasks: {a: {gpu: {max_utilization: ▶150}}}", "a number from 0 to 100"),
    ("tasks: {gpu: {▶foo: 1}}", 'tasks.gpu.foo: unknown key "foo"', "misfire_grace_time"),
    ("tasks: {a: {memory_limit: ▶2 GIGS}}", "tasks.a.memory_limit is 2 GIGS", "512MiB"),
    ("tasks: {a: {memory_limit: ▶10}}", "at least 32MiB", "or 0"),
    ("tasks: {a: {backoff: {multiplier: ▶0}}}", "must be a number from 0.1 to 1000"),
    ("tasks: {a: {module: ▶./x.py}}", "tasks.a.module is ./x.py", "pkg.mod:function"),
    ("tasks: {a: {concurrency_key: ▶'{params.tenant'}}", 'is "{params.tenant"; it may have braces only as {params.NAME}'),
    ("tasks: {a: {concurrency_key: ▶'{foo.bar}'}}", "only as {params.NAME}"),
    ("tasks: {a: {concurrency_key: ▶'{params.x!r}'}}", "only as {params.NAME}"),
    ("tasks: {a: {concurrency_key: ▶'{params.x:>9}'}}", "only as {params.NAME}"),
    ("tasks: {a: {sla: ▶1d}}", "tasks.a.sla is 1d", "must be a mapping"),
    ("tasks: {a: {tags: [x, ▶'']}}", "tasks.a.tags[2]", "must not be empty"),
    ("tasks: {a: {owner: ▶42}}", "tasks.a.owner is 42", 'quote it: "42"'),
    ("tasks: {a: {description: ▶on}}", "tasks.a.description is on", 'quote it: "on"'),
    ("tasks: {a: {enabled: ▶perhaps}}", "tasks.a.enabled is perhaps", "true or false"),
    ("tasks: {extract: {}, a: {depends_on: [▶extrakt]}}", '"extrakt" is no task', "did you mean extract?"),
    ("tasks: {a: {depends_on: ▶zzz}}", '"zzz" is no task'),
    ("tasks: {a: {depends_on: [▶a]}}", "wait for each other: a → a"),
    ("defaults: {priority: ▶0}\ntasks: {a: {}, b: {}}", "defaults.priority is 0"),
    ("defaults: {▶module: x}", 'defaults.module: unknown key "module"'),
    ("▶defaults: [5]", "defaults is a list", "must be a mapping"),
]


def split(marked: str) -> tuple[str, str]:
    """The text without ▶, and ``line:col`` of what ▶ stood before."""
    before, _, after = marked.partition("▶")
    line = before.count("\n") + 1
    return before + after, f"{line}:{len(before) - before.rfind(chr(10))}"


@pytest.mark.parametrize(("marked", "texts"), [(marked, texts) for marked, *texts in ENV], ids=[case[0] for case in ENV])
def test_broken_env_yaml(marked: str, texts: list[str], deployment: Any) -> None:
    text, place = split(marked)
    [problem] = deployment.write("env.yaml", text).problems()
    assert problem.startswith(f"env.yaml:{place}: ")
    assert [part for part in texts if part not in problem] == [], problem


@pytest.mark.parametrize(("marked", "texts"), [(marked, texts) for marked, *texts in TASKS], ids=[case[0] for case in TASKS])
def test_broken_task_file(marked: str, texts: list[str], deployment: Any) -> None:
    text, place = split(marked)
    [problem] = deployment.write("config/dev.yaml", text).problems()
    assert problem.startswith(f"config/dev.yaml:{place}: ")
    assert [part for part in texts if part not in problem] == [], problem


def test_the_mistakes_of_all_files_are_told_at_once_in_their_order(deployment: Any) -> None:
    deployment.write(
        "env.yaml", "web:\n  prot: 1\n  host: 5\nredis: {url: '${R}', url: x}\nscheduler: {tasks: [config/*.yaml, more.yaml]}\n"
    )
    deployment.write("config/dev.yaml", "tasks:\n  a: {priority: 0}\n  b: {tmeout: 5, params: {x: 0600}}\n").write("more.yaml", "taks: {}")
    found = deployment.problems(SCHEDULER__WEB__PORT="many")
    assert [problem.partition(": ")[0] for problem in found] == [
        "env.yaml:2:3",
        "env.yaml:3:9",
        "env.yaml:4:14",
        "env.yaml:4:22",
        "environment variable SCHEDULER__WEB__PORT",
        "config/dev.yaml:2:17",
        "config/dev.yaml:3:7",
        "config/dev.yaml:3:30",
        "more.yaml:1:1",
    ]


def test_one_problem_a_line_in_the_text_of_the_error(deployment: Any) -> None:
    assert len("\n".join(deployment.write("env.yaml", "a: 1\nb: 2\n").problems()).splitlines()) == 2


def test_two_files_that_define_one_task(deployment: Any) -> None:
    deployment.write("env.yaml", "scheduler: {tasks: config/*.yaml}")
    deployment.write("config/a.yaml", "tasks:\n  sync: {}\n").write(
        "config/dev.yaml", "# second\ntasks:\n  sync: {priority: 50}\n  other: {}\n"
    )
    assert deployment.problems() == [
        'config/dev.yaml:3:3: the task "sync" is already defined at config/a.yaml:2:3; keep one',
        "config/dev.yaml:3:20: tasks.sync.priority is 50; it must be a whole number from 1 to 10",
    ]


def test_a_dependency_cycle_over_two_files(deployment: Any) -> None:
    deployment.write("env.yaml", "scheduler: {tasks: config/*.yaml}").write("config/dev.yaml", "tasks: {a: {depends_on: [b]}}")
    deployment.write("config/other.yaml", "tasks: {b: {depends_on: [c]}, c: {depends_on: a}}")
    [problem] = deployment.problems()
    waits = problem.rpartition(": ")[2].split(" → ")
    assert sorted(waits[1:]) == ["a", "b", "c"]
    assert waits[0] == waits[-1]
    assert set(pairwise(waits)) == {("a", "b"), ("b", "c"), ("c", "a")}


def test_a_missing_task_file(deployment: Any) -> None:
    deployment.write("env.yaml", "scheduler:\n  tasks: config/${APP_ENV:-dev}.yaml").write("config/prod.yaml", "").write(
        "config/x.json", ""
    )
    [problem] = deployment.problems(APP_ENV="prodd")
    assert problem.startswith("env.yaml:2:10: scheduler.tasks: config/prodd.yaml does not exist (looked for /")
    assert problem.endswith("; did you mean prod.yaml?; YAML files in config: dev.yaml, prod.yaml")


def test_a_missing_task_file_of_the_default(deployment: Any) -> None:
    [problem] = deployment.problems(APP_ENV="test")
    assert problem.startswith("env.yaml (scheduler.tasks by default): scheduler.tasks: config/test.yaml does not exist")


def test_a_glob_in_a_folder_that_is_not_there(deployment: Any) -> None:
    [problem] = deployment.write("env.yaml", "scheduler: {tasks: jobs/*.yaml}").problems()
    assert problem.startswith("env.yaml:1:20: scheduler.tasks: jobs/*.yaml does not exist")
    assert problem.endswith("the folder jobs does not exist either")


def test_a_folder_is_no_task_file(deployment: Any) -> None:
    [problem] = deployment.write("env.yaml", "scheduler: {tasks: config}").problems()
    assert problem == "env.yaml:1:20: scheduler.tasks: config is a folder; name the files in it, such as config/*.yaml"


@pytest.mark.parametrize("file", ["env.yaml", "config/dev.yaml"])
def test_a_pipe_is_no_file(file: str, deployment: Any) -> None:
    (deployment.folder / file).unlink()
    os.mkfifo(deployment.folder / file)
    assert deployment.problems() == [f"{file}:1:1: it is a folder, a pipe or a device; a file is needed"]


def test_an_env_yaml_that_is_a_broken_link_is_not_none_at_all(deployment: Any) -> None:
    (deployment.folder / "env.yaml").unlink()
    (deployment.folder / "env.yaml").symlink_to("gone.yaml")
    assert deployment.problems() == ["env.yaml:1:1: env.yaml is a link to gone.yaml, which does not exist"]
    (deployment.folder / "gone.yaml").symlink_to("env.yaml")
    assert deployment.problems() == ["env.yaml:1:1: the file cannot be read: Too many levels of symbolic links"]


def test_a_file_without_tasks_is_told(deployment: Any) -> None:
    assert deployment.write("config/dev.yaml", "").load().warnings == ("config/dev.yaml: there are no tasks in it",)


def test_text_that_is_not_utf8(deployment: Any) -> None:
    assert deployment.write("env.yaml", b"# caf\xe9\n").problems() == ["env.yaml:1:6: the file is not UTF-8 text; save it as UTF-8"]
