"""``scheduler tasks``: what may run and when; run, pause and resume it."""

from typing import Annotated

import typer

from scheduler.cli.facts import Tasks, require_name
from scheduler.cli.session import Session, opened
from scheduler.cli.submit import submit
from scheduler.core.clock import now_ms
from scheduler.core.errors import UnknownTaskError
from scheduler.observe.vocabulary import instant

app = typer.Typer(help="What may run, and when.")
app.command("run")(submit)

Name = Annotated[str, typer.Argument(help="The task's name.", show_default=False)]
Hold = Annotated[bool, typer.Option("--hold", help="Hold its waiting Runs, too.")]
Many = Annotated[int, typer.Option("-n", min=1, max=10_000, help="How many.")]
After = Annotated[str, typer.Option(help="From this instant on, instead of now.", metavar="INSTANT", show_default=False)]


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """All tasks: their state, trigger and next fire."""
    with opened(ctx) as (session, center):
        tasks = Tasks(session, center)
        session.out.rows([tasks.row(name) for name in tasks.names], "name state trigger next description", "There are no tasks.")


@app.command()
def show(ctx: typer.Context, name: Name) -> None:
    """All about one task: its policy as it is in force, and the layers around it."""
    with opened(ctx) as (session, center):
        session.out.record(Tasks(session, center).details(name))


@app.command()
def pause(ctx: typer.Context, name: Name, hold: Hold = False) -> None:
    """It does not fire until it is resumed; `tasks run` still works."""
    with opened(ctx) as (session, center):
        fires = Tasks(session, center).schedule(name) is not None
        held = hold or not fires
        if fires:
            center.queue.pause("schedule", name)
        if held:
            center.queue.pause("task", name)
        told = "{name} is paused, and its waiting Runs are held" if held else "{name} is paused: it does not fire"
        session.out.done(told, {"name": name, "paused": fires, "held": held})


@app.command()
def resume(ctx: typer.Context, name: Name) -> None:
    """It fires again, from now on; held Runs go on."""
    with opened(ctx) as (session, center):
        Tasks(session, center).schedule(name)
        for kind in ("schedule", "task"):
            center.queue.pause(kind, name, on=False)
        session.out.done("{name} is resumed", {"name": name, "paused": False, "held": False})


@app.command("next")
def next_(ctx: typer.Context, name: Name, count: Many = 5, after: After = "") -> None:
    """The next instants at which it fires; connects to nothing."""
    from scheduler.catalogue import trigger_of, use_plugins
    from scheduler.triggers import next_fires

    session: Session = ctx.obj
    require_name(name, session.settings.tasks, UnknownTaskError, "task")
    schedule = session.settings.tasks[name].to_schedule(session.settings.scheduler)
    use_plugins(session.settings)
    after_ms = round(session.instant(after, "--after").timestamp() * 1000) if after else now_ms()
    instants = [session.when(ms) for ms in (next_fires(trigger_of(schedule), after_ms, count) if schedule else ())]
    if session.as_json:
        session.out.json(instants)
    elif instants:
        typer.echo("\n".join(instant(moment) for moment in instants if moment))
    else:
        session.out.note("It never fires: it runs when it is submitted.")
