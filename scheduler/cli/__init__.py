"""The command line: one file per group of commands; what is slow to import is imported by the command that needs it."""


def main() -> None:
    """Entry point of ``scheduler``, of ``python -m scheduler`` and of run.py; without a command it serves."""
    import io
    import logging
    import sys

    from scheduler.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not where it is closed
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 has no ✓; a ? is better than no answer
    logging.getLogger().addHandler(logging.NullHandler())  # a command's own words are enough; --debug and serve log
    app()
