"""``scheduler check`` and ``schema``: the configuration, the plugins and the triggers, without connecting to anything."""

import json
from typing import Annotated, Any, Literal

import typer

from scheduler.cli.errors import FAILED, USAGE
from scheduler.cli.session import Session
from scheduler.core.errors import ConfigError


def check(ctx: typer.Context) -> None:
    """Check configuration, plugins and triggers; connects to nothing."""
    session: Session = ctx.obj
    found = _found(session)
    if session.as_json:
        session.out.json(found)
    else:
        _tell(session, found)
    raise typer.Exit(USAGE if found["problems"] else FAILED if found["broken"] else 0)


def schema(kind: Annotated[Literal["env", "tasks"], typer.Argument(help="Of env.yaml, or of task files.")] = "env") -> None:
    """The JSON Schema of the YAML files, for editors."""
    from scheduler.settings import json_schema

    typer.echo(json.dumps(json_schema(kind), indent=2, ensure_ascii=False))


def _found(session: Session) -> dict[str, Any]:
    from scheduler.catalogue import read_catalogue, use_plugins
    from scheduler.plugins.probe import probe

    found: dict[str, Any] = {"problems": [], "broken": {}, "warnings": [], "tasks": []}
    try:
        use_plugins(session.settings)
        catalogue = read_catalogue(session.settings)
    except ConfigError as error:
        found["problems"] = error.problems
        if "settings" in vars(session):  # the files are well, a trigger is not: say what is wrong with the plugins, too
            targets = {name: entry.module for name, entry in session.settings.tasks.items() if entry.config.enabled}
            found["broken"] = {name: each.error for name, each in probe(targets, session.settings.plugins).items() if not each.ok}
        return found
    return found | {"broken": catalogue.broken, "warnings": catalogue.warnings, "tasks": sorted(catalogue.tasks)}


def _tell(session: Session, found: dict[str, Any]) -> None:
    out = session.out
    for problem in [*found["problems"], *(f"{name}: {reason}" for name, reason in found["broken"].items())]:
        out.verdict("fail", out.message(problem))
    for warning in found["warnings"]:
        out.verdict("warn", out.message(warning))
    for name in found["tasks"]:
        out.verdict("ok", name)
    count = {name: len(values) for name, values in found.items()}
    parts = {
        "tasks": out.counted(count["tasks"], "{count} task", "{count} tasks"),
        "problems": out.counted(count["problems"], "{count} problem", "{count} problems"),
        "warnings": out.counted(count["warnings"], "{count} warning", "{count} warnings"),
    }
    typer.echo(out.tr("{tasks} ok, {broken} broken; {problems} in the configuration, {warnings}", broken=count["broken"], **parts))
