"""``scheduler runs`` and ``dead``: look at Runs and their output, cancel them, start them over, wait for them."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from scheduler.cli.facts import RUN, run_facts, run_of
from scheduler.cli.session import Session, opened, seconds
from scheduler.core.clock import monotonic, sleep
from scheduler.core.errors import ConflictError, WaitTimeoutError
from scheduler.core.states import State

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter
    from scheduler.core.run import Run

app = typer.Typer(help="What ran, runs, and will run.")
dead = typer.Typer(help="Dead letters: Runs that used up all of several attempts, kept killing their process, or were lost ten times.")

_POLL_S = 0.2  # of a log that is followed
_LOOK_S = 0.5  # how often a wait tells how far the Run is
_MOST = 10_000

RunId = Annotated[str, typer.Argument(help="The Run's id.", show_default=False, metavar="RUN")]
RunIds = Annotated[list[str], typer.Argument(help="Ids of Runs.", show_default=False, metavar="RUN…")]
OfTask = Annotated[str, typer.Option("--task", help="Only those of this task.", show_default=False)]
InState = Annotated[State | None, typer.Option("--state", help="Only those in this state.", show_default=False)]
Limit = Annotated[int, typer.Option("-n", "--limit", min=1, help="At most so many.")]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on until the Run has ended.")]
Reason = Annotated[str, typer.Option(help="Kept with the Run.", show_default=False)]
Timeout = Annotated[
    float | None, typer.Option(help="Wait no longer than this: seconds, or a text such as 5m.", parser=seconds, metavar="DURATION")
]
Some = Annotated[list[str] | None, typer.Argument(help="Ids of dead Runs.", show_default=False, metavar="RUN…")]
Every = Annotated[bool, typer.Option("--all", help="All of them.")]


@app.command("list")
def list_(ctx: typer.Context, state: InState = None, task: OfTask = "", limit: Limit = 20) -> None:
    """Those at work first, then the newest of each state."""
    _list(ctx, state or "", task, limit, "There are no such Runs.")


@app.command()
@dead.command()
def show(ctx: typer.Context, run: RunId) -> None:
    """All about one Run."""
    with opened(ctx) as (session, center):
        session.out.record(run_facts(session, run_of(center, run)))


@app.command()
def logs(ctx: typer.Context, run: RunId, follow: Follow = False) -> None:
    """What it printed and logged."""
    with opened(ctx) as (session, center):
        run_of(center, run)
        text = "" if follow else _from_files(session, run)
        typer.echo(text, nl=False)
        if not text and not _from_store(center, run, follow=follow):
            session.out.note("It has printed nothing.")


@app.command()
def cancel(ctx: typer.Context, runs: RunIds, reason: Reason = "") -> None:
    """End waiting Runs, and tell running ones to stop."""
    with opened(ctx) as (session, center):
        told = [{"id": run, "cancelled": center.cancel(run, reason), "state": run_of(center, run).state} for run in runs]
        session.out.done("{id}: {state}", told if session.as_json else [run | {"state": session.out.word(run["state"])} for run in told])
    if late := [run["id"] for run in told if not run["cancelled"] and run["state"] != State.CANCELLED]:
        raise ConflictError(session.out.tr("what has ended cannot be cancelled: {runs}", runs=", ".join(map(str, late))))


@app.command()
def retry(ctx: typer.Context, runs: RunIds) -> None:
    """Start failed, dead or cancelled Runs over, under their own ids."""
    with opened(ctx) as (session, center):
        session.out.done("{id}: starts over", [{"id": center.retry(run)} for run in runs])


@app.command()
def wait(ctx: typer.Context, runs: RunIds, timeout: Timeout = None) -> None:
    """Wait until they have ended; the exit code tells whether all succeeded."""
    with opened(ctx) as (session, center):
        report_ends(session, center, runs, timeout)


@dead.command("list")
def list_dead(ctx: typer.Context, task: OfTask = "", limit: Limit = 50) -> None:
    """The dead, the newest first."""
    _list(ctx, State.DEAD, task, limit, "No dead letters.")


@dead.command("retry")
def retry_dead(ctx: typer.Context, some: Some = None, every: Every = False) -> None:
    """Start them over, under their own ids."""
    with opened(ctx) as (session, center):
        session.out.done("{id}: starts over", [{"id": center.retry(run)} for run in _chosen(center, some or [], every=every)])


@dead.command()
def purge(ctx: typer.Context, some: Some = None, every: Every = False) -> None:
    """Delete them for good."""
    with opened(ctx) as (session, center):
        count = sum(center.queue.purge("dead", run) for run in _chosen(center, some or [], every=every))
        session.out.done("{purged} deleted", {"purged": count})


def report_ends(session: Session, center: "SchedulerCenter", runs: Sequence[str], timeout_s: float | None, *, one: bool = False) -> None:
    """Wait, on a terminal with a line that says how far they are, and show how they ended; exit code 1 unless all succeeded."""
    from rich.console import Console
    from rich.text import Text

    deadline = monotonic() + (math.inf if timeout_s is None else timeout_s)
    with Console(stderr=True).status("…") as status:
        ended = [_end_of(center, run, deadline, lambda words: status.update(Text(words))) for run in runs]
    facts = [run_facts(session, run) for run in ended]
    if one and session.as_json:
        session.out.json(facts[0])
    else:
        session.out.rows(facts, "id state reason duration_ms outcome")
    if any(run.state != State.SUCCEEDED for run in ended):
        raise typer.Exit(1)


def _list(ctx: typer.Context, state: str, task: str, limit: int, empty: str) -> None:
    with opened(ctx) as (session, center):
        rows = [run_facts(session, run) for run in center.queue.find(state=state, task=task, limit=limit)]
        session.out.rows(rows, RUN, empty)


def _end_of(center: "SchedulerCenter", run_id: str, deadline: float, tell: Callable[[str], object]) -> "Run":
    while True:
        try:
            return center.wait(run_id, max(0.0, min(_LOOK_S, deadline - monotonic())))
        except WaitTimeoutError:
            run = run_of(center, run_id)
            if monotonic() >= deadline:
                raise WaitTimeoutError(f"Run {run_id} is still {run.state}") from None
            tell(f"{run_id}: {run.state} {run.reason} {run.progress} % {run.progress_message}")


def _from_files(session: Session, run_id: str) -> str:
    """All output of all attempts, where it was written on this machine."""
    files = {int(path.suffixes[-2][1:]): path for path in (session.settings.logging.dir / "runs").glob(f"*/{run_id}.*.log")}
    texts = {attempt: path.read_text(encoding="utf-8", errors="replace") for attempt, path in sorted(files.items())}
    title = session.out.tr("— attempt {{attempt}} —\n") if len(texts) > 1 else ""
    return "".join(title.format(attempt=attempt) + text for attempt, text in texts.items())


def _from_store(center: "SchedulerCenter", run_id: str, *, follow: bool) -> bool:
    """Print what the store has of the output, and with ``follow`` what comes, until the end; whether there was any."""
    seen, printed = 0, False
    while True:
        run = center.get_run(run_id)  # asked before its log is: the last words of a Run are stored before its end
        total, tail = center.queue.read_log(run_id)
        if fresh := total - seen if total >= seen else total:  # another attempt begins at nothing
            typer.echo(tail.encode()[-fresh:].decode(errors="replace"), nl=False)
            printed = True
        seen = total
        if not follow or run is None or run.ended:
            return printed
        sleep(_POLL_S)


def _chosen(center: "SchedulerCenter", some: list[str], *, every: bool) -> list[str]:
    if bool(some) == every:
        raise typer.BadParameter("name Runs, or say --all")
    if every:
        return [run.id for run in center.queue.find(state=State.DEAD, limit=_MOST)]
    for run in some:
        if (state := run_of(center, run).state) != State.DEAD:
            raise ConflictError(f"Run {run} is not dead but {state}")
    return some
