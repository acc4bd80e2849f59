"""The command tree: every verb, the global options, which stand before or after the verb, and the user's language."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from scheduler.cli import check, doctor, new, queues, runs, serve, submit, tasks
from scheduler.cli.errors import explain, is_typers
from scheduler.cli.messages import translate_message
from scheduler.cli.session import Session
from scheduler.cli.words import chosen_language, translate_tree

_FLAGS = {"--debug"}
_LONG = {"--config", "--output", "--lang"}
_SHORT = {"-c", "-o"}
_OF_THE_ROOT = {"-h", "--help", "--version", "--install-completion", "--show-completion"}


def hoisted(words: list[str]) -> list[str]:
    """The global options first, wherever they stood up to ``--``; without a verb the verb is ``serve``."""
    front: list[str] = []
    rest: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--":
            rest += [word, *left]
        elif word in _LONG | _SHORT:
            front += [word, *islice(left, 1)]
        elif word in _FLAGS or word.partition("=")[0] in _LONG or word[:2] in _SHORT:
            front.append(word)
        else:
            rest.append(word)
    if not rest or (rest[0].startswith("-") and rest[0] not in _OF_THE_ROOT):
        rest.insert(0, "serve")
    return front + rest


class Root(TyperGroup):
    """The top of the tree. Help is in the user's language; no traceback reaches the user."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # a shell that completes words
            args = hoisted(args)
        translate_tree(self, ctx, chosen_language(args))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if isinstance(message := getattr(error, "message", None), str):  # of wrong usage; the frame around it is typer's
                error.message = translate_message(message, ctx.obj.lang if ctx.obj else chosen_language([]))  # type: ignore[attr-defined]  # seen above
            if is_typers(error):
                raise
            raise typer.Exit(explain(ctx.obj or Session(), error)) from error


app = typer.Typer(
    cls=Root,
    name="scheduler",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from scheduler import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback(epilog="Without a command: serve. These options may stand before or after the command.")
def root(
    ctx: typer.Context,
    config: Annotated[Path | None, typer.Option("-c", "--config", envvar="SCHEDULER_CONFIG", help="The env.yaml to use.")] = None,
    output: Annotated[Literal["table", "json"], typer.Option("-o", "--output", help="For people, or for programs.")] = "table",
    lang: Annotated[Literal["zh", "en"] | None, typer.Option(help="The language of texts; by default that of LANG.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Log everything, and show tracebacks.")] = False,
    version: Annotated[  # noqa: ARG001  # its callback does all
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The scheduling centre: schedules, a durable queue, and workers."""
    if debug:
        import logging

        logging.basicConfig(level=logging.DEBUG)
    program = "python run.py" if ctx.info_name == "run.py" else ctx.info_name or "scheduler"
    ctx.obj = Session(config, lang or chosen_language([]), as_json=output == "json", debug=debug, program=program)


_START, _WORK, _CARE = "Start", "Work", "Set up and look after"

_VERBS: dict[str, tuple[Callable[..., None], ...]] = {
    _START: (serve.serve, serve.worker, serve.start_workers),
    _WORK: (submit.submit, submit.submit_task, queues.stats),
    _CARE: (check.check, doctor.doctor, check.schema),
}
_GROUPS = {"tasks": tasks.app, "runs": runs.app, "dead": runs.dead, "queues": queues.app, "workers": queues.workers}

for panel, verbs in _VERBS.items():
    for verb in verbs:
        app.command(rich_help_panel=panel)(verb)
for name, group in _GROUPS.items():
    app.add_typer(group, name=name, rich_help_panel=_WORK, no_args_is_help=True)
app.add_typer(new.app, name="new", rich_help_panel=_CARE, no_args_is_help=True)
