"""What the environment says: a ``.env`` file under the process's own variables, and the overrides of env.yaml among them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from scheduler.settings import nodes
from scheduler.settings.nearest import did_you_mean
from scheduler.settings.nodes import Place, Problem, Scalar
from scheduler.settings.scalars import NULLS

PREFIX = "SCHEDULER__"
GRID_PREFIX = "GRID_ASYNC_TASK_"
_GRID_KEYS = {
    "AMQP_URL": "ingest.rabbitmq.url",
    "QUEUE": "ingest.rabbitmq.queue",
    "MAX_RETRY_COUNT": "ingest.rabbitmq.max_retry_count",
    "RETRY_DELAY": "ingest.rabbitmq.retry_delay",
    "MYSQL_URL": "history.url",
    "TABLE_PREFIX": "history.table_prefix",
    "TABLE_NAME": "history.table_name",
    "IDLE_TIMEOUT": "worker.idle_timeout",
    "LOG_LEVEL": "logging.level",
    "LOG_DIR": "logging.dir",
    "FEISHU_WEBHOOK_URL": "notify.channels.feishu.url",
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
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        problems.append(Problem(Place(str(path)), f"the file cannot be read: {error.strerror}"))
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
        if name.startswith(GRID_PREFIX):
            path = _grid_path(name, variable, problems)
        elif name.startswith(PREFIX):
            path = name.removeprefix(PREFIX).lower().split("__")
            path = ["scheduler", *path] if path[0] in shortcuts else path
        if path:
            tree = with_value(tree, path, variable.place, _node(variable, problems))
    return tree


def _grid_path(name: str, variable: Variable, problems: list[Problem]) -> list[str]:
    known = [GRID_PREFIX + key for key in _GRID_KEYS]
    if name in known:
        return _GRID_KEYS[name.removeprefix(GRID_PREFIX)].split(".")
    problems.append(Problem(variable.place, f"{name} is not a known name{did_you_mean(name, known)}; known: {', '.join(known)}"))
    return []


def _node(variable: Variable, problems: list[Problem]) -> nodes.Node:
    """A text, or a list or mapping written as YAML: ``["gpu", "default"]``, ``{max_instances: 1}``."""
    composed = nodes.compose(variable.value, str(variable.place), problems) if variable.value.lstrip()[:1] in ("[", "{") else None
    return composed or Scalar(variable.place, variable.value, literal=True)


def with_value(node: nodes.Mapping, path: list[str], place: Place, value: nodes.Node) -> nodes.Mapping:
    """A copy of ``node`` with ``value`` at ``path``: nodes are shared between aliases, so none is changed in place."""
    key, *rest = path
    where, child = node.items.get(key, (place, Scalar(place, "")))
    if not rest:
        where = place
    elif isinstance(child, nodes.Mapping):
        value = with_value(child, rest, place, value)
    elif isinstance(child, Scalar) and child.text in NULLS:
        value = with_value(nodes.Mapping(place, {}), rest, place, value)
    else:  # a list or a text where a mapping belongs: the file's own mistake, to be told as such
        value = child
    return nodes.Mapping(node.place, {**node.items, key: (where, value)})
