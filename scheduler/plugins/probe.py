"""The probe: learns everything about plugins without importing them here: a child process does, and only that may break.

One child serves a whole healthy folder. A plugin that hangs, exits, crashes or leaves something behind costs one more.
"""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scheduler.core.errors import PluginError
from scheduler.plugins.folder import PluginFolder, digest
from scheduler.plugins.loader import parse_target
from scheduler.plugins.process import ProbeProcess

_START_S = 30.0  # to start Python on a machine that is very busy
_GRACE_S = 2.0
_FRAME = re.compile(r'File "(.+)", line (\d+) in')

Record = dict[str, Any]  # one line of the child


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of ``run``: ``kind`` as ``inspect`` names it, in lower case; ``annotation`` its source text or ''."""

    name: str
    kind: str
    required: bool
    annotation: str


@dataclass(frozen=True, slots=True)
class Probe:
    """What is known of a plugin; ``dataclasses.asdict`` gives JSON. When not ``ok``, ``error`` is one sentence that names the place."""

    target: str  # module:attribute
    ok: bool
    error: str = ""
    kind: str = ""  # function | async | class
    signature: tuple[Parameter, ...] = ()
    marks: Mapping[str, Any] = field(default_factory=dict)  # policy of the decorators, keys as in the task YAML
    version: str = ""  # short hash of the plugin's source
    doc: str = ""
    warnings: tuple[str, ...] = ()  # side effects of the import


def probe(
    targets: Mapping[str, str], folder: Path, *, timeout_s: float = 10.0, python: str = sys.executable, allow_writable: bool = False
) -> dict[str, Probe]:
    """A Probe for each of ``targets`` (task name → target). Never raises for a plugin's sake; ``timeout_s`` holds for each import."""
    plugins = PluginFolder(folder, allow_writable=allow_writable)
    named = {task: _normal(target) for task, target in targets.items()}
    sound = dict.fromkeys(target for target in named.values() if isinstance(target, str))
    request = {"folder": str(plugins.path), "allow_writable": allow_writable, "timeout_s": timeout_s}
    records = _records(list(sound), request, plugins, python)
    probes = {target: _probe(target, record, plugins) for target, record in records.items()}
    return {task: found if isinstance(found, Probe) else probes[found] for task, found in named.items()}


def _normal(target: str) -> str | Probe:
    try:
        return str(parse_target(target))
    except PluginError as error:
        return Probe(target, ok=False, error=str(error))


def _records(pending: list[str], request: Record, plugins: PluginFolder, python: str) -> dict[str, Record]:
    records: dict[str, Record] = {}
    while pending:
        with ProbeProcess(python, {**request, "targets": pending}) as child:
            if child.line(_START_S) is None:
                error = f"the probe did not start: {python} {child.ending()}"
                return records | {target: {"error": error} for target in pending}
            records |= _round(child, pending, plugins, request["timeout_s"])
        pending = [target for target in pending if target not in records]
    return records


def _round(child: ProbeProcess, targets: list[str], plugins: PluginFolder, timeout_s: float) -> dict[str, Record]:
    """What one child could tell, in order of ``targets``, up to the first that spoiled it."""
    records: dict[str, Record] = {}
    for target in targets:
        # The child ends itself when an import takes too long; the later limit is for a plugin that prevents even that.
        record = _parsed(child.line(timeout_s + _GRACE_S))
        records[target] = record or {"error": f"{_place(child, target, plugins)}: {child.ending()} while being imported"}
        if not record or record.get("warnings"):
            break
    return records


def _parsed(line: bytes | None) -> Record:
    try:
        record = json.loads(line or b"")
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _place(child: ProbeProcess, target: str, plugins: PluginFolder) -> str:
    """``plugins/x.py:3``: the innermost line of the plugins in the last stack, or else the plugin's file."""
    for file, line in _FRAME.findall(child.dump()):
        if plugins.holds(file):
            return f"{plugins.shown(file)}:{line}"
    return next(map(plugins.shown, _sources(target, plugins)), target)


def _sources(target: str, plugins: PluginFolder) -> list[Path]:
    return plugins.sources(parse_target(target).module)


def _probe(target: str, record: Record, plugins: PluginFolder) -> Probe:
    return Probe(
        target,
        ok=record.get("ok", False),
        error=record.get("error", ""),
        kind=record.get("kind", ""),
        signature=tuple(Parameter(**parameter) for parameter in record.get("signature", ())),
        marks=record.get("marks", {}),
        version=_version(target, record.get("file", ""), plugins),
        doc=record.get("doc", ""),
        warnings=tuple(record.get("warnings", ())),
    )


def _version(target: str, file: str, plugins: PluginFolder) -> str:
    try:
        return digest(_sources(target, plugins) or ([Path(file)] if file else []))
    except OSError:  # unreadable, or gone again: the import has said so already
        return ""
