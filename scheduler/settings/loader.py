"""Reads env.yaml, the environment and the task files into one Settings, or tells everything that is wrong with them at once."""

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from scheduler.core.errors import ConfigError
from scheduler.settings import env, nodes
from scheduler.settings.entry import TaskEntry
from scheduler.settings.environment import lookalikes, overridden, read_variables
from scheduler.settings.fields import names
from scheduler.settings.inert import inert_in_env, inert_in_tasks
from scheduler.settings.nearest import did_you_mean
from scheduler.settings.nodes import MAX_BYTES, Place, Problem, Scalar, compose
from scheduler.settings.problems import find, validate
from scheduler.settings.task import TaskConfig, TaskFile, over
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
    warnings: tuple[str, ...] = ()  # what was set and has no effect, each with its place

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
    file = Path(named or FILE)
    return _Loading(file, environ).settings(bare=not named and not file.exists() and not file.is_symlink())


class _Loading:
    """One reading. Paths are shown as they were given, so that an editor finds them from the working directory."""

    def __init__(self, file: Path, environ: Mapping[str, str]) -> None:
        self.file, self.shown_base, self.base = file, file.parent, file.parent.absolute()
        self.problems: list[Problem] = []
        self.files: list[Path] = []
        self.warnings: list[str] = []
        self.variables = read_variables(self.shown_base / ".env", environ, self.problems)
        self.values = Values(self.variables, self.base, self.problems)
        self.entries: dict[str, TaskEntry] = {}

    def settings(self, *, bare: bool) -> Settings:
        """``bare``: there is no env.yaml, and nobody has named one."""
        tree = nodes.Mapping(Place(str(self.file)), {}) if bare else self._read(self.file)
        self.warnings += [f"there is no {self.file} in {self.base}: the defaults hold"] if bare else []
        if tree is None:
            raise self._error()
        self.warnings += lookalikes(self.variables, {name: field.annotation for name, field in env.Env.model_fields.items()})
        tree = overridden(tree, self.variables, set(env.Centre.model_fields), self.problems)
        data = self.values.of(tree)
        sections = validate(env.Env, data, tree, self.problems, {"base": self.base})
        self._load_tasks(self._task_files(tree, data, optional=bare and "APP_ENV" not in self.variables))
        if self.problems or sections is None:
            raise self._error()
        if self.entries and not sections.scheduler.plugins.is_dir() and (found := find(tree, ("scheduler", "plugins"))).all:
            self.warnings.append(f"{found.place}: scheduler.plugins: there is no folder {sections.scheduler.plugins}")
        self.warnings[:0] = inert_in_env(tree, sections, env.Env.model_validate({}, context={"base": self.base}))
        parts = {name: getattr(sections, name) for name in env.Env.model_fields}
        return Settings(**parts, base=self.base, tasks=self.entries, files=tuple(self.files), warnings=tuple(self.warnings))

    def _error(self) -> ConfigError:
        sources = list(dict.fromkeys(problem.place.source for problem in self.problems))
        ordered = sorted(set(self.problems), key=lambda problem: (sources.index(problem.place.source), problem))
        return ConfigError([str(problem) for problem in ordered])

    def _read(self, file: Path) -> nodes.Mapping | None:
        """The tree of a YAML file whose top is a mapping; None where a problem forbids to go on."""
        try:
            if file.exists() and not file.is_file():  # to read a pipe may take for ever
                message = "it is a folder, a pipe or a device; a file is needed"
            else:
                with file.open("rb") as stream:
                    content = stream.read(MAX_BYTES + 1)
                self.files.append(file.absolute())
                if len(content) <= MAX_BYTES:
                    return self._tree(content.decode("utf-8-sig"), file)
                message = f"the file is larger than {MAX_BYTES:,} bytes; split it: scheduler.tasks may be a list or a glob"
        except FileNotFoundError:
            message = _missing(file)
        except OSError as error:
            message = f"the file cannot be read: {error.strerror}"
        except UnicodeDecodeError as error:
            self.problems.append(nodes.not_utf_8(error, file))
            return None
        self.problems.append(Problem(Place(str(file), 1, 1), message))
        return None

    def _tree(self, text: str, file: Path) -> nodes.Mapping | None:
        node = compose(text, str(file), self.problems)
        if node is None or isinstance(node, nodes.Mapping):
            return node
        self.problems.append(Problem(node.place, 'the file must be a mapping: lines of "key: value"'))
        return None

    def _task_files(self, tree: nodes.Node, data: dict[str, Any], *, optional: bool) -> list[Path]:
        """The files that scheduler.tasks names; ``optional``: nothing is configured at all, so the default one may be missing."""
        section = data.get("scheduler")
        written = section.get("tasks") if isinstance(section, dict) else None
        if written is None:
            tree = Scalar(Place(f"{self.file} (scheduler.tasks by default)"), env.TASKS)
            written = self.values.of(tree)
        else:
            optional = False
        patterns = names(written)
        told = {problem.place for problem in self.problems}
        files: dict[Path, Path] = {}
        for number, pattern in enumerate(patterns if isinstance(patterns, tuple) else ()):
            place = find(tree, ("scheduler", "tasks", number)).place
            if place not in told and isinstance(pattern, str):
                matches = glob.glob(pattern, root_dir=self.shown_base, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
                found = sorted(self.shown_base / name for name in matches)
                if not found and not optional:
                    self.problems.append(Problem(place, f"scheduler.tasks: {_missing(self.shown_base / pattern)}"))
                if folder := next(filter(Path.is_dir, found), None):
                    message = f"scheduler.tasks: {folder} is a folder; name the files in it, such as {folder}/*.yaml"
                    self.problems.append(Problem(place, message))
                    continue
                files |= {file.resolve(): file for file in found if file.resolve() not in files}
        return list(files.values())

    def _load_tasks(self, files: list[Path]) -> None:
        trees = [(file, tree) for file in files if (tree := self._read(file))]
        places: dict[str, Place] = {}
        for _, tree in trees:
            for name, (place, _) in _tasks_in(tree).items():
                if name in places:
                    self.problems.append(Problem(place, f'the task "{name}" is already defined at {places[name]}; keep one'))
                places.setdefault(name, place)
        for file, tree in trees:
            self._load_file(file, tree, places)
        self._check_cycles()

    def _load_file(self, file: Path, tree: nodes.Mapping, known: Mapping[str, Place]) -> None:
        data = self.values.of(tree)
        if validate(TaskFile, data, tree, self.problems, {"tasks": known}) is None:
            return
        self.warnings += inert_in_tasks(tree, data)
        self.warnings += [] if _tasks_in(tree) else [f"{file}: there are no tasks in it"]
        defaults = data.get("defaults") or {}
        usual = find(tree, ("defaults",))
        for name, (place, node) in _tasks_in(tree).items():
            own = data["tasks"][name] or {}
            config = TaskConfig.model_validate(over(defaults, own))
            # What comes from the defaults has its place there.
            whole = nodes.Mapping(place, over(getattr(usual.node, "items", {}) if usual.all else {}, getattr(node, "items", {})))
            self.entries[name] = TaskEntry(name, config, file.absolute(), own, defaults, place, whole)
            if both := ", ".join(sorted({*config.retry_on} & {*config.give_up_on})):
                where = self.entries[name].where("retry_on")
                self.warnings.append(f"{where}: tasks.{name}.retry_on and give_up_on both name {both}: give_up_on wins")

    def _check_cycles(self) -> None:
        try:
            TopologicalSorter({name: entry.config.depends_on for name, entry in self.entries.items()}).prepare()
        except CycleError as error:
            cycle: list[str] = error.args[1]
            entry = self.entries[cycle[0]]
            message = f"tasks.{cycle[0]}.depends_on: these tasks wait for each other: {' → '.join(reversed(cycle))}"
            self.problems.append(Problem(find(entry.node, ("depends_on", 0), entry.place).place, message))


def _tasks_in(tree: nodes.Mapping) -> dict[str, tuple[Place, nodes.Node]]:
    section = find(tree, ("tasks",))
    return section.node.items if section.all and isinstance(section.node, nodes.Mapping) else {}


def _missing(file: Path) -> str:
    """What was looked for, and what there is in its place."""
    folder = file.parent
    message = f"{file} does not exist (looked for {file.absolute()})"
    if file.is_symlink():
        return f"{file} is a link to {file.readlink()}, which does not exist"
    if not folder.is_dir():
        return f"{message}; the folder {folder} does not exist either"
    beside = sorted(path.name for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    return f"{message}{did_you_mean(file.name, beside)}; YAML files in {folder}: {', '.join(beside) or 'none'}"
