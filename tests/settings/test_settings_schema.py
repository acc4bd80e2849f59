"""The JSON Schemas: up to date on disk, and of one mind with the loader."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler.settings import json_schema
from scheduler.settings.env import Env
from scheduler.settings.fields import Section
from scheduler.settings.problems import model_at
from scheduler.settings.schema import write_schemas
from scheduler.settings.task import BackoffConfig, GpuConfig, TaskConfig, TaskFile

ROOT = Path(__file__).parents[2]
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": int | float, "boolean": bool, "null": type(None)}
SILENT = {"$schema", "$defs", "title", "description", "default", "deprecated", "format", "writeOnly"}


class Judge:
    """Whether values fit a schema: the part of JSON Schema that ours use, and a KeyError for every other keyword."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root

    def fits(self, value: Any, schema: dict[str, Any]) -> bool:
        return all(self.judge(keyword, value, schema) for keyword in schema.keys() - SILENT)

    def judge(self, keyword: str, value: Any, schema: dict[str, Any]) -> bool:
        told = schema[keyword]
        if keyword in ("minimum", "maximum"):
            return not isinstance(value, int | float) or (value >= told if keyword == "minimum" else value <= told)
        if keyword == "additionalProperties":
            patterns = [*map("^{}$".format, schema.get("properties", {})), *schema.get("patternProperties", {})]
            return told is True or not isinstance(value, dict) or all(any(re.search(p, key) for p in patterns) for key in value)
        general = {
            "$ref": lambda: self.fits(value, self.root["$defs"][told.removeprefix("#/$defs/")]),
            "anyOf": lambda: any(self.fits(value, part) for part in told),
            "type": lambda: any(is_a(kind, value) for kind in ([told] if isinstance(told, str) else told)),
            "enum": lambda: value in told,
        }
        if keyword in general:
            return general[keyword]()
        kind, check = self.of_kind(told)[keyword]
        return not isinstance(value, kind) or check(value)

    def of_kind(self, told: Any) -> dict[str, tuple[type, Callable[[Any], bool]]]:
        return {
            "pattern": (str, lambda text: re.search(told, text) is not None),
            "minLength": (str, lambda text: len(text) >= told),
            "items": (list, lambda items: all(self.fits(item, told) for item in items)),
            "required": (dict, lambda value: set(told) <= set(value)),
            "properties": (dict, lambda value: all(self.fits(value[key], part) for key, part in told.items() if key in value)),
            "patternProperties": (
                dict,
                lambda value: all(self.fits(value[k], part) for p, part in told.items() for k in value if re.search(p, k)),
            ),
        }


def is_a(kind: str, value: Any) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def valid(kind: Any, value: Any) -> bool:
    schema = json_schema(kind)
    return Judge(schema).fits(value, schema)


@pytest.mark.parametrize("kind", ["env", "tasks"])
def test_the_shipped_schema_is_up_to_date(kind: str, tmp_path: Path) -> None:
    write_schemas(tmp_path)
    fresh, shipped = ((folder / f"{kind}.schema.json").read_text(encoding="utf-8") for folder in (tmp_path, ROOT / "config"))
    assert fresh == shipped, "call scheduler.settings.schema.write_schemas(Path('config'))"
    assert json.loads(shipped) == json_schema(kind)


@pytest.mark.parametrize(("kind", "file"), [("env", "env.yaml"), ("tasks", "config/dev.yaml"), ("tasks", "config/prod.yaml")])
def test_the_shipped_files_point_to_their_schema_and_fit(kind: str, file: str) -> None:
    path = ROOT / file
    text = path.read_text(encoding="utf-8")
    [pointer] = re.findall(r"^# yaml-language-server: \$schema=(\S+)", text)
    assert (path.parent / pointer).resolve() == ROOT / f"config/{kind}.schema.json"
    assert valid(kind, yaml.safe_load(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{timeout: 300}", True),
        ("{timeout: 1h30m}", True),
        ("{timeout: '${T}'}", True),
        ("{timeout: null}", True),
        ("{exec_timeout: 5m}", True),
        ("{task_timeout: 5m}", True),
        ("{timeout: soon}", False),
        ("{timout: 300}", False),
        ("{gpu: {min_gpu_memory_gb: 4, min_gpu_utilization: 20}}", True),
        ("{gpu: {memory: 4}}", False),
        ("{rate_limit: 5/1m}", True),
        ("{rate_limit: [10/s, {max_calls: 5, time_window: 1m}]}", True),
        ("{rate_limit: {max_calls: 5}}", False),
        ("{rate_limit: often}", False),
        ("{priority: '${P:-5}'}", True),
        ("{priority: 11}", False),
        ("{enabled: false}", True),
        ("{enabled: 1}", False),
        ("{retry_on: ConnectionError, tags: [a, b]}", True),
        ("{tags: [1]}", False),
        ("{memory_limit: 2GiB}", True),
        ("{backoff: {strategy: linear, max_delay: 1h}}", True),
        ("{backoff: linear}", False),
        ("{module: 'pkg.mod:run'}", True),
        ("{module: ./x.py}", False),
        ("{trigger: corn}", False),
        ("{args: {anything: [1]}, params: {x: {y: 1}}}", True),
    ],
)
def test_schema_and_loader_agree_on_a_task(text: str, expected: bool, deployment: Any) -> None:
    file = f"tasks: {{t: {text}}}"
    assert valid("tasks", yaml.safe_load(file)) is expected
    deployment.write("config/dev.yaml", file)
    if expected:
        assert deployment.load(T="5", P="5").tasks["t"]
    else:
        assert deployment.problems()


@pytest.mark.parametrize(
    ("text", "expected"), [("{tasks: {a.b-c_1: {}}}", True), ("{tasks: {A b: {}}}", False), ("{defaults: {module: x}}", False)]
)
def test_names_and_defaults(text: str, expected: bool) -> None:
    assert valid("tasks", yaml.safe_load(text)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{redis: {url: embedded}}", True),
        ("{redis: {url: 'rediss+sentinel://a,b/main'}}", True),
        ("{redis: {url: '${REDIS_URL}'}}", True),
        ("{redis: {url: 'http://x'}}", False),
        ("{redis: {url: embedded2}}", False),
        ("{ingest: {rabbitmq: null}}", True),
        ("{ingest: {rabbitmq: {queue: x}}}", False),
        ("{scheduler: {tasks: [a.yaml, b.yaml]}}", True),
        ("{web: {port: '${PORT}', auth: {mode: token}}}", True),
        ("{web: {port: 70000}}", False),
    ],
)
def test_schema_of_env_yaml(text: str, expected: bool) -> None:
    assert valid("env", yaml.safe_load(text)) is expected


def test_defaults_stand_in_the_schema_as_people_write_them() -> None:
    defs = json_schema("env")["$defs"]
    assert defs["Redis"]["properties"]["url"]["default"] == "embedded"
    assert defs["Worker"]["properties"]["shutdown_timeout"]["default"] == 30
    assert defs["Redis"]["properties"]["data_dir"]["default"] == "data"


def models_in(model: type[Section]) -> Iterator[type[Section]]:
    """A model and those of its nested sections."""
    yield model
    for name, field in model.model_fields.items():
        if isinstance(inner := field.annotation, type) and issubclass(inner, Section):
            yield from models_in(model_at(model, (name,)))


def test_hints_lead_to_keys_that_exist() -> None:
    keys = {key for model in (*models_in(Env), *models_in(TaskFile), TaskConfig, BackoffConfig, GpuConfig) for key in model.model_fields}
    for model in (TaskFile, TaskConfig, BackoffConfig, GpuConfig):
        for wrong, right in model.hints.items():
            assert wrong not in model.model_fields
            first = re.split(r"[:, ]", right)[0]
            assert first in keys or right.startswith("the same key under args"), right
