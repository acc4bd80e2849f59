"""Reads env.yaml, the environment and the task files into one Settings, or tells everything that is wrong with them at once."""

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scheduler.core.errors import ConfigError
from scheduler.settings import env, nodes
from scheduler.settings.entry import TaskEntry
from scheduler.settings.environment import Variables, overridden, read_variables
from scheduler.settings.fields import names
from scheduler.settings.flows import Needs, check_dependencies
from scheduler.settings.nearest import did_you_mean
from scheduler.settings.nodes import MAX_BYTES, Place, Problem, Scalar, compose
from scheduler.settings.problems import validate
from scheduler.settings.task import Policy, TaskFile, over
from scheduler.settings.values import Values

FILE = "env.yaml"


@dataclass(frozen=True, slots=True)
class Settings:
    """One deployment: env.yaml with the environment over it, and its tasks. Paths are absolute; secrets print masked."""

    scheduler: env.Centre
    redis: env.Redis
    worker: env.Worker
    history: env.History
    web: env.Web
    ingest: env.Ingest
    notify: env.Notify
    monitoring: env.Monitoring
    logging: env.Logging
    base: Path  # the folder of env.yaml, to which relative paths belong
    tasks: Mapping[str, TaskEntry] = field(repr=False)
    files: tuple[Path, ...] = ()  # all that was read: what a reload has to watch

    @property
    def plugins(self) -> Path:
        """The folder of the task modules."""
        return self.scheduler.plugins

    def get_scheduler_config(self) -> dict[str, Any]:
        """The section ``scheduler`` as plain data; durations in seconds."""
        return self.scheduler.model_dump(mode="json")

    def get_tasks_config(self) -> dict[str, dict[str, Any]]:
        """Task name → its configuration as plain data, file defaults included; durations in seconds."""
        return {name: entry.config.model_dump(mode="json") for name, entry in self.tasks.items()}

    def get_cache_config(self) -> dict[str, Any]:
        """The section ``redis``; ``url`` prints masked, its ``get_secret_value()`` is the address."""
        return self.redis.model_dump()


def load_settings(path: str | Path | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings of the env.yaml at ``path``, else at ``SCHEDULER_CONFIG``, else in the working directory, where it may be missing.

    ConfigError lists every problem of env.yaml, of the environment and of the task files, each as ``file:line:col: message``.
    """
    environ = os.environ if environ is None else environ
    named = path or environ.get("SCHEDULER_CONFIG")
    return _Loading(Path(named or FILE), environ).settings(required=bool(named))


class _Loading:
    """One reading. Paths are shown as they were given, so that an editor finds them from the working directory."""

    def __init__(self, file: Path, environ: Mapping[str, str]) -> None:
        self.file, self.shown_base, self.base = file, file.parent, file.parent.absolute()
        self.problems: list[Problem] = []
        self.files: list[Path] = []
        self.variables: Variables = read_variables(self.shown_base / ".env", environ, self.problems)
        self.values = Values(self.variables, self.base, self.problems)
        self.entries: dict[str, TaskEntry] = {}
        self.needs: dict[str, Needs] = {}  # of every task, those with mistakes too

    def settings(self, *, required: bool) -> Settings:
        bare = not required and not self.file.exists()
        tree = nodes.Mapping(Place(str(self.file)), {}) if bare else self._read(self.file)
        if tree is None:
            raise self._error()
        tree = overridden(tree, self.variables, set(env.Centre.model_fields), self.problems)
        data = self.values.of(tree)
        sections = validate(env.Env, data, tree, self.problems, {"base": self.base})
        self._load_tasks(tree, optional=bare and "APP_ENV" not in self.variables)
        if self.problems or sections is None:
            raise self._error()
        parts = {name: getattr(sections, name) for name in env.Env.model_fields}
        return Settings(**parts, base=self.base, tasks=self.entries, files=tuple(self.files))

    def _error(self) -> ConfigError:
        self.problems = list(dict.fromkeys(self.problems))  # the same word may be read twice
        order = {problem.place.source: number for number, problem in reversed(list(enumerate(self.problems)))}
        return ConfigError([str(p) for p in sorted(self.problems, key=lambda p: (order[p.place.source], p.place.line, p.place.column))])

    def _read(self, file: Path) -> nodes.Mapping | None:
        """The tree of a YAML file whose top is a mapping (an empty file is an empty one); None where a problem forbids to go on."""
        start = Place(str(file), 1, 1)
        text = self._text(file, start)
        if text is None:
            return None
        count = len(self.problems)
        node = compose(text, str(file), self.problems)
        if node is None:
            return nodes.Mapping(start, {}) if len(self.problems) == count else None
        if not isinstance(node, nodes.Mapping):
            self.problems.append(Problem(node.place, 'the file must be a mapping: lines of "key: value"'))
            return None
        return node

    def _text(self, file: Path, start: Place) -> str | None:
        try:
            with file.open("rb") as stream:
                content = stream.read(MAX_BYTES + 1)
            self.files.append(file.absolute())
            if len(content) <= MAX_BYTES:
                return content.decode("utf-8-sig")
            message = f"the file is larger than {MAX_BYTES:,} bytes; split it: scheduler.tasks may be a list or a glob"
        except FileNotFoundError:
            message = _missing(file)
        except OSError as error:
            message = f"the file cannot be read: {error.strerror}"
        except UnicodeDecodeError as error:
            message = f"the file is not UTF-8 text (byte {error.start})"
        self.problems.append(Problem(start, message))
        return None

    def _load_tasks(self, tree: nodes.Mapping, *, optional: bool) -> None:
        """All task files. ``optional``: nothing is configured at all, so the default file may be missing."""
        section = tree.items.get("scheduler", (tree.place, tree))[1]
        written = section.items["tasks"][1] if isinstance(section, nodes.Mapping) and "tasks" in section.items else None
        if written is None:
            written = Scalar(Place(f"{self.file} (scheduler.tasks by default)"), env.TASKS)
            if optional and not (self.base / self.values.expand(written)).exists():
                return
        seen: set[Path] = set()
        for node in written.items if isinstance(written, nodes.Sequence) else [written]:
            for file in self._matches(node):
                if file.resolve() not in seen:
                    seen.add(file.resolve())
                    self._load_file(file)
        check_dependencies(self.needs, self.problems)

    def _matches(self, node: nodes.Node) -> list[Path]:
        """The files that a path or glob means; a problem where there is none."""
        patterns = names(self.values.of(node))
        if any(problem.place == node.place for problem in self.problems) or not isinstance(patterns, tuple):
            return []  # told of already
        files = []
        for pattern in filter(None, patterns):
            names_found = glob.glob(pattern, root_dir=self.shown_base, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
            found = sorted(self.shown_base / name for name in names_found)
            if not found:
                self.problems.append(Problem(node.place, f"scheduler.tasks: {_missing(self.shown_base / pattern)}"))
            files += found
        return files

    def _load_file(self, file: Path) -> None:
        tree = self._read(file)
        if tree is None:
            return
        data = self.values.of(tree)
        defaults = data.get("defaults") or {}
        if validate(Policy, defaults, tree, []) is None:
            defaults = {}  # its mistakes are told once, and not again for every task
        written = data.get("tasks")
        if isinstance(written, dict):
            data["tasks"] = {name: _over(defaults, own) for name, own in written.items()}
        parsed = validate(TaskFile, data, tree, self.problems)
        section = tree.items["tasks"][1] if "tasks" in tree.items else None
        for name, (place, node) in section.items.items() if isinstance(section, nodes.Mapping) else ():
            if name in self.needs:
                self.problems.append(Problem(place, f'the task "{name}" is already defined at {self.needs[name].place}; keep one'))
                continue
            self.needs[name] = Needs.of(place, node, data["tasks"][name])
            if parsed:
                own = written[name] or {}
                self.entries[name] = TaskEntry(name, parsed.tasks[name], file.absolute(), own, defaults, place, node)


def _over(defaults: Mapping[str, Any], own: Any) -> Any:
    """A task with the file's defaults below it; a task that is no mapping stays as it is, to be told of."""
    return over(defaults, own or {}) if isinstance(own, dict | None) else own


def _missing(file: Path) -> str:
    """What was looked for, and what there is in its place."""
    folder = file.parent
    message = f"{file} does not exist (looked for {file.absolute()})"
    if not folder.is_dir():
        return f"{message}; the folder {folder} does not exist either"
    beside = sorted(path.name for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    return f"{message}{did_you_mean(file.name, beside)}; YAML files in {folder}: {', '.join(beside) or 'none'}"
