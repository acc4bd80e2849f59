"""The command line: one file per group of commands; what is slow to import is imported by the command that needs it."""


def main() -> None:
    """Entry point of ``scheduler``, of ``python -m scheduler`` and of run.py; without a command it serves."""
    import logging

    from scheduler.cli.app import app

    logging.getLogger().addHandler(logging.NullHandler())  # a command's own words are enough; --debug and serve log
    app()
