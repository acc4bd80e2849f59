"""``scheduler queues``, ``workers`` and ``stats``: how much waits, for how long and why, and who works."""

from typing import TYPE_CHECKING, Annotated

import typer

from scheduler.cli.facts import Fact, held_back, queue_facts, require_name, run_facts, stats_of, worker_facts
from scheduler.cli.session import Session, opened
from scheduler.core.errors import SchedulerError
from scheduler.core.states import State

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter

app = typer.Typer(help="How much waits, and why.")
workers = typer.Typer(help="The processes that run Runs.")

Name = Annotated[str, typer.Argument(help="The queue's name.", show_default=False)]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """All queues: how many Runs wait, and for how long."""
    with opened(ctx) as (session, center):
        rows = list(queue_facts(session, center, stats_of(center)).values())
        session.out.rows(rows, "name waiting oldest_wait_ms paused order", "There are no queues.")


@app.command()
def show(ctx: typer.Context, name: Name) -> None:
    """One queue, what holds its Runs back, and the first that wait."""
    with opened(ctx) as (session, center):
        held = [lane for lane in held_back(session, stats_of(center)) if lane["lane"].partition("/")[0] == name]
        first = [run_facts(session, run) for run in center.queue.find(state=State.PENDING, limit=500) if run.queue == name][:10]
        waiting = [{key: run[key] for key in ("id", "task", "priority", "created")} for run in first]
        session.out.record(_known(session, center, name) | {"held_back": held, "first": waiting})


@app.command()
def pause(ctx: typer.Context, name: Name) -> None:
    """Its Runs wait until it is resumed; running ones go on."""
    _pause(ctx, name, on=True)


@app.command()
def resume(ctx: typer.Context, name: Name) -> None:
    """Its Runs go on."""
    _pause(ctx, name, on=False)


@app.command()
def purge(ctx: typer.Context, name: Name, yes: Yes = False) -> None:
    """Cancel all Runs that wait in it."""
    with opened(ctx) as (session, center):
        waiting = _known(session, center, name)["waiting"]
        if not yes:
            typer.confirm(session.out.tr("Cancel {count} waiting Runs of {name}?", count=waiting, name=name), abort=True, err=True)
        session.out.done("{purged} cancelled", {"name": name, "purged": center.queue.purge("queue", name)})


@app.command()
def stats(ctx: typer.Context) -> None:
    """The numbers of now, one a line."""
    with opened(ctx) as (session, center):
        now = stats_of(center)
        queues = queue_facts(session, center, now)
        totals = {"delayed": now.delayed, "running": now.running, "finished": now.finished, "dead": now.dead, "workers": len(now.workers)}
        numbers = {"waiting": sum(queue["waiting"] for queue in queues.values()), **totals}
        if session.as_json:
            session.out.json(numbers | {"queues": list(queues.values()), "held_back": held_back(session, now)})
        else:
            session.out.record(numbers | {f"{name}.waiting": queue["waiting"] for name, queue in queues.items()})


@workers.command("list")
def list_workers(ctx: typer.Context) -> None:
    """All workers with a valid lease."""
    with opened(ctx) as (session, center):
        rows = worker_facts(session, center, stats_of(center))
        session.out.rows(rows, "id host pid running slots queues started lease_age_ms", "No worker is running.")


def _pause(ctx: typer.Context, name: str, *, on: bool) -> None:
    with opened(ctx) as (session, center):
        _known(session, center, name)
        center.queue.pause("queue", name, on=on)
        session.out.done("{name} is paused" if on else "{name} is resumed", {"name": name, "paused": on})


def _known(session: Session, center: "SchedulerCenter", name: str) -> Fact:
    queues = queue_facts(session, center, stats_of(center))
    require_name(name, queues, SchedulerError, "queue")
    return queues[name]
