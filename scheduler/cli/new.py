"""``scheduler new``: a plugin to begin with."""

import re
import sys
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scheduler.core.errors import ConfigError, ConflictError

if TYPE_CHECKING:
    from scheduler.cli.session import Session

app = typer.Typer(help="Begin something new.")

Name = Annotated[str, typer.Argument(help="A name as of a Python module.", show_default=False)]


@app.command()
def plugin(ctx: typer.Context, name: Name) -> None:
    """Write plugins/NAME.py and say what to add to the task file."""
    session: Session = ctx.obj
    folder = session.settings.plugins
    file, task_file = folder / f"{name}.py", str(next(iter(session.settings.files[1:]), "config/dev.yaml"))
    _require_module_name(name, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(_template("plugin", name), encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"scheduler.plugins: {str(folder)!r} cannot be written ({error.strerror})"]) from error
    facts = {"file": str(file), "task_file": task_file, "task": _template("task", name), "name": name}
    session.out.done(
        "{file} is written. Add this to {task_file}, under tasks:\n\n{task}\n"
        "Then: {program} check; start the instance, or restart it; {program} submit {name} --wait",
        facts,
    )


def _template(kind: str, name: str) -> str:
    return Path(__file__).with_name(f"{kind}.template").read_text(encoding="utf-8").format(name=name)


def _require_module_name(name: str, folder: Path) -> None:
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,63}", name) or iskeyword(name):
        good = re.sub(r"\W+", "_", name.lower()).strip("_0123456789") or "my_task"
        raise typer.BadParameter(f"{name!r} is no name of a plugin: small letters, digits and _; how about {good}?")
    if taken := [path for path in (folder / f"{name}.py", folder / name) if path.exists()]:
        raise ConflictError(f"{taken[0]} is there already; choose another name, or delete it first")
    if name in sys.stdlib_module_names or find_spec(name):
        raise typer.BadParameter(f"{name!r} is the name of an installed module already; how about my_{name}?")
