"""The probe: learns everything about plugins without importing them here: a child process does, and only that may break.

One child serves a whole healthy folder. A plugin that hangs, exits, crashes or leaves something behind costs one more.
"""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scheduler.core.errors import PluginError
from scheduler.plugins.describe import as_text, describe
from scheduler.plugins.folder import PluginFolder, digest
from scheduler.plugins.loader import load, parse_target
from scheduler.plugins.process import Ended, run_child

_START_S = 30.0  # to start Python on a machine that is very busy
_GRACE_S = 2.0  # the child ends itself when an import takes too long; this is for a plugin that prevents even that
_FRAME = re.compile(r'File "(.+)", line (\d+) in')


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
    file: str = ""  # the module's own


def probe(
    targets: Mapping[str, str], folder: Path, *, timeout_s: float = 10.0, python: str = sys.executable, allow_writable: bool = False
) -> dict[str, Probe]:
    """A Probe for each of ``targets`` (task name → target). Never raises for a plugin's sake; ``timeout_s`` holds for each import."""
    plugins = PluginFolder(folder, allow_writable=allow_writable)
    named = {task: _normal(target) for task, target in targets.items()}
    sound = dict.fromkeys(target for target in named.values() if isinstance(target, str))
    request = {"folder": str(plugins.path), "allow_writable": allow_writable, "timeout_s": timeout_s}
    probes = {target: _with_version(each, plugins) for target, each in _probed(list(sound), request, plugins, python).items()}
    return {task: probes[found] if isinstance(found, str) else found for task, found in named.items()}


def look(target: str) -> Probe:
    """The same of one target that may be imported here and now: a function that a program hands over. Raises PluginError."""
    parsed = parse_target(target)
    return _from_record(str(parsed), {"ok": True, **json.loads(json.dumps(describe(load(parsed)), default=as_text))})


def _normal(target: str) -> str | Probe:
    try:
        return str(parse_target(target))
    except PluginError as error:
        return Probe(target, ok=False, error=str(error))


def _probed(pending: list[str], request: Mapping[str, Any], plugins: PluginFolder, python: str) -> dict[str, Probe]:
    probes: dict[str, Probe] = {}
    while pending:
        ended = run_child(python, {**request, "targets": pending}, _START_S, request["timeout_s"] + _GRACE_S)
        if not ended.lines:
            error = f"the probe did not start: {python} {ended.how}"
            return probes | {target: Probe(target, ok=False, error=error) for target in pending}
        probes |= _told(ended, pending, plugins)
        pending = [target for target in pending if target not in probes]
    return probes


def _told(ended: Ended, targets: list[str], plugins: PluginFolder) -> dict[str, Probe]:
    """What one child could tell, in order of ``targets``, up to the first that spoiled it."""
    probes: dict[str, Probe] = {}
    for number, target in enumerate(targets, 1):  # line 0 says that it is ready
        told = number < len(ended.lines)
        found = _parsed(target, ended.lines[number]) if told else None
        how = "writes to or closes file descriptors that are not its own" if told else ended.how
        probes[target] = found or Probe(target, ok=False, error=f"{_place(ended.stack, target, plugins)}: {how} while being imported")
        if not found or found.warnings:
            break
    return probes


def _parsed(target: str, line: bytes) -> Probe | None:
    """The child's record; None for what somebody else has written."""
    try:
        record = json.loads(line)
        return _from_record(target, record | {"warnings": tuple(record["warnings"])})
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def _from_record(target: str, record: Mapping[str, Any]) -> Probe:
    return Probe(target, **{**record, "signature": tuple(Parameter(**parameter) for parameter in record.get("signature", ()))})


def _place(stack: str, target: str, plugins: PluginFolder) -> str:
    """``plugins/x.py:3``: the innermost line of the plugins in the last stack, or else the plugin's file."""
    for file, line in _FRAME.findall(stack):
        if plugins.holds(file):
            return f"{plugins.shown(file)}:{line}"
    return next(map(plugins.shown, _sources(target, plugins)), target)


def _sources(target: str, plugins: PluginFolder) -> list[Path]:
    return plugins.sources(parse_target(target).module)


def _with_version(found: Probe, plugins: PluginFolder) -> Probe:
    try:
        return replace(found, version=digest(_sources(found.target, plugins) or ([Path(found.file)] if found.file else [])))
    except OSError:  # unreadable, or gone again: the import has said so already
        return found
