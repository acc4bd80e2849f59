"""``scheduler submit``: ask for one Run of a task, and wait for it if you like."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scheduler.cli.facts import someone_knows
from scheduler.cli.runs import Timeout, report_ends
from scheduler.cli.session import Session, opened, seconds

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter

TaskName = Annotated[str, typer.Argument(help="The task's name.", show_default=False)]
TaskType = Annotated[str, typer.Option(help="The task's name.", show_default=False)]
Params = Annotated[str, typer.Option(help="Its parameters: a JSON object, @FILE, or - for stdin.", metavar="JSON")]
Priority = Annotated[int | None, typer.Option(help="1 to 10, 10 first; by default the task's own.", show_default=False)]
Delay = Annotated[
    float, typer.Option(help="Wait so long before it may run: seconds, or a text such as 5m.", parser=seconds, metavar="DURATION")
]
At = Annotated[str, typer.Option(help="Not before this instant.", metavar="INSTANT", show_default=False)]
Id = Annotated[str | None, typer.Option("--id", help="Give the Run this id.", show_default=False)]
Key = Annotated[str | None, typer.Option(help="The same key again within a day gives the same Run.", show_default=False)]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for its end; the exit code tells whether it succeeded.")]


def submit(  # noqa: PLR0913, PLR0917  # each is an option
    ctx: typer.Context,
    task: TaskName,
    params: Params = "{}",
    priority: Priority = None,
    delay: Delay = 0,
    at: At = "",
    run_id: Id = None,
    key: Key = None,
    wait: Wait = False,
    timeout: Timeout = None,
) -> None:
    """Ask for one Run of a task, whatever its schedule says; prints its id."""
    given, moment = _params(params), ctx.obj.instant(at, "--at") if at else None
    if key == "":
        raise typer.BadParameter("it is empty: is a variable of the shell not set?", param_hint="--key")
    with opened(ctx) as (session, center):
        center.catalogue  # noqa: B018  # with the plugins known, what cannot run is refused here, and not when it runs
        run = center.submit(task, given, priority=priority, delay=delay, at=moment, run_id=run_id, key=key)
        if not (wait and session.as_json):
            session.out.done("{id}", {"id": run, "task": task})
        _tell_who_is_missing(session, center, task)
        if wait:
            report_ends(session, center, [run], timeout, one=True)


def submit_task(ctx: typer.Context, task_type: TaskType, params: Params = "{}", priority: Priority = 5) -> None:
    """Submit, for scripts that know it under this name."""
    given = _params(params)
    with opened(ctx) as (session, center):
        session.out.done("Task submitted: {id}", {"id": center.submit(task_type, given, priority=priority), "task": task_type})
        _tell_who_is_missing(session, center, task_type)


def _tell_who_is_missing(session: Session, center: "SchedulerCenter", task: str) -> None:
    """A Run that nobody can run waits; without a word it would look like one that runs soon."""
    workers = center.stats()["workers"]
    if not workers:
        session.out.note("No worker is running; the Run waits for one: {program} serve")
    elif not someone_knows(center, workers, task):
        session.out.note("No running worker knows this task: restart the instance.")


def _params(text: str) -> dict[str, Any]:
    """The JSON object in ``text``, in the file that ``@`` names, or on stdin."""
    try:
        source = sys.stdin.read() if text == "-" else Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
        params = json.loads(source)
    except OSError as error:
        raise typer.BadParameter(f"{text[:80]}: {error}", param_hint="--params") from None
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{text[:80]} is not JSON: {error}", param_hint="--params") from None
    if not isinstance(params, dict):
        raise typer.BadParameter(f'{source[:80]} is no JSON object; write it like {{"name": "value"}}', param_hint="--params")
    return params
