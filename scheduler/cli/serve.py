"""``scheduler serve``, ``worker`` and ``start-workers``: an instance in the foreground."""

from dataclasses import replace
from typing import Annotated

import typer

from scheduler.cli.session import Session

ROLES = "timer,worker,web"

Roles = Annotated[str, typer.Option(help="What this instance does, with commas between.")]
Count = Annotated[int, typer.Option(min=1, max=1000, help="How many processes.")]


def serve(ctx: typer.Context, roles: Roles = ROLES) -> None:
    """Start an instance and stay: fire the schedules, run the Runs, answer HTTP."""
    names = [role.strip() for role in roles.split(",") if role.strip()]
    if not names or set(names) - set(ROLES.split(",")):
        raise typer.BadParameter(f"{roles!r}: allowed are {ROLES}", param_hint="--roles")
    _stay(ctx.obj, names)


def worker(ctx: typer.Context) -> None:
    """Start an instance that only runs Runs: serve --roles worker."""
    _stay(ctx.obj, ["worker"])


def start_workers(ctx: typer.Context, count: Count = 5) -> None:
    """Start so many worker processes and stay."""
    session: Session = ctx.obj
    own = session.settings.worker.model_copy(update={"processes": count})
    session.settings = replace(session.settings, worker=own)
    _stay(session, ["worker"], session.out.tr("Started {n} workers", n=count))


def _stay(session: Session, roles: list[str], told: str = "") -> None:
    from scheduler.cli.instance import Instance

    raise typer.Exit(Instance(session, roles).stay(told))
