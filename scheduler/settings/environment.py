"""What the environment says: a ``.env`` file under the process's own variables, and the overrides of env.yaml among them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scheduler.settings import nodes
from scheduler.settings.nearest import did_you_mean
from scheduler.settings.nodes import Place, Problem, Scalar
from scheduler.settings.scalars import NULLS

PREFIX = "SCHEDULER__"
GRID_PREFIX = "GRID_ASYNC_TASK_"
_GRID_KEYS = {
    "GRID_ASYNC_TASK_AMQP_URL": "ingest.rabbitmq.url",
    "GRID_ASYNC_TASK_QUEUE": "ingest.rabbitmq.queue",
    "GRID_ASYNC_TASK_MAX_RETRY_COUNT": "ingest.rabbitmq.max_retry_count",
    "GRID_ASYNC_TASK_RETRY_DELAY": "ingest.rabbitmq.retry_delay",
    "GRID_ASYNC_TASK_MYSQL_URL": "history.url",
    "GRID_ASYNC_TASK_TABLE_PREFIX": "history.table_prefix",
    "GRID_ASYNC_TASK_TABLE_NAME": "history.table_name",
    "GRID_ASYNC_TASK_IDLE_TIMEOUT": "worker.idle_timeout",
    "GRID_ASYNC_TASK_LOG_LEVEL": "logging.level",
    "GRID_ASYNC_TASK_LOG_DIR": "logging.dir",
    "GRID_ASYNC_TASK_FEISHU_WEBHOOK_URL": "notify.channels.feishu.url",
}
_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*
    (?: "(?P<escaped>(?:[^"\\]|\\.)*)" | '(?P<exact>[^']*)' | (?P<bare>(?:[^\s"'\#](?:[^\#]|(?<!\s)\#)*?)?) )
    \s*(?:(?<=[\s=])\#.*)?""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class Variable(NamedTuple):
    """A value of the environment and where it was set."""

    value: str
    place: Place


Variables = Mapping[str, Variable]


def read_variables(dotenv: Path, environ: Mapping[str, str], problems: list[Problem]) -> dict[str, Variable]:
    """The variables of ``dotenv`` (where there is one) and of ``environ``, which wins."""
    variables = dict(_read_dotenv(dotenv, problems)) if dotenv.is_file() else {}
    return variables | {name: Variable(value, Place(f"environment variable {name}")) for name, value in environ.items()}


def _read_dotenv(path: Path, problems: list[Problem]) -> Iterator[tuple[str, Variable]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        problems.append(Problem(Place(str(path)), f"the file cannot be read: {error.strerror}"))
        return
    except UnicodeDecodeError as error:
        problems.append(nodes.not_utf_8(error, path))
        return
    for number, line in enumerate(lines, 1):
        place = Place(str(path), number, len(line) - len(line.lstrip()) + 1)
        if match := _LINE.fullmatch(line):
            escaped = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), match["escaped"] or "")
            yield match["name"], Variable(escaped or match["exact"] or match["bare"] or "", place)
        elif line.strip() and not line.lstrip().startswith("#"):
            problems.append(Problem(place, "this line is not NAME=value, NAME='value' or NAME=\"value\""))


def overridden(tree: nodes.Mapping, variables: Variables, shortcuts: set[str], problems: list[Problem]) -> nodes.Mapping:
    """``tree`` with the values that ``SCHEDULER__SECTION__KEY`` and ``GRID_ASYNC_TASK_…`` set; the former win.

    ``shortcuts`` are the keys of the section ``scheduler``, whose name may be left out: ``SCHEDULER__TIMEZONE``.
    """
    for name, variable in sorted(variables.items()):  # GRID… sorts before SCHEDULER…
        if not variable.value:  # compose files pass unset variables on as empty ones
            continue
        path: list[str] = []
        if name.startswith(PREFIX):
            path = name.removeprefix(PREFIX).lower().split("__")
            path = ["scheduler", *path] if path[0] in shortcuts else path
        elif name in _GRID_KEYS:
            path = _GRID_KEYS[name].split(".")
        elif name.startswith(GRID_PREFIX):
            message = f"{name} is not a known name{did_you_mean(name, _GRID_KEYS)}; known: {', '.join(_GRID_KEYS)}"
            problems.append(Problem(variable.place, message))
        if path:
            tree = _with(tree, path, variable.place, _node(variable, problems), problems)
    return tree


def lookalikes(variables: Variables, sections: Mapping[str, Any]) -> Iterator[str]:
    """A warning for each name with one underscore where two belong. No error: a cluster sets such names for its services."""
    keys = {f"{section}_{key}": f"{section}__{key}" for section, model in sections.items() for key in model.model_fields}
    for name, variable in variables.items():
        if meant := keys.get(name.removeprefix("SCHEDULER_").lower()) if name.startswith("SCHEDULER_") else None:
            yield f"{variable.place}: this name sets nothing; did you mean {PREFIX}{meant.upper()}?"


def _node(variable: Variable, problems: list[Problem]) -> nodes.Node:
    """A text, or a list or mapping written as YAML: ``["gpu", "default"]``, ``{max_instances: 1}``."""
    composed = nodes.compose(variable.value, str(variable.place), problems) if variable.value.lstrip()[:1] in ("[", "{") else None
    return composed or Scalar(variable.place, variable.value, literal=True)


def _with(node: nodes.Mapping, path: list[str], place: Place, value: nodes.Node, problems: list[Problem]) -> nodes.Mapping:
    """A copy of ``node`` with ``value`` at ``path``: nodes are shared between aliases, so none is changed in place."""
    key, *rest = path
    where, child = node.items.get(key, (place, Scalar(place, "")))
    if not rest:
        where = place
    elif isinstance(child, nodes.Mapping):
        value = _with(child, rest, place, value, problems)
    elif isinstance(child, Scalar) and child.text in NULLS:
        value = _with(nodes.Mapping(place, {}), rest, place, value, problems)
    else:  # a list or a text: it stays, as it may be the file's own mistake, to be told as such
        value = child
        problems.append(Problem(place, f"{key} is a value, not a section"))
    return nodes.Mapping(node.place, {**node.items, key: (where, value)})
