"""``python run.py`` starts the service; every other command of the CLI works here too: ``python run.py --help``."""

import sys

try:
    if sys.version_info < (3, 11):  # noqa: UP036 -- this file is all that an older Python can read
        raise ModuleNotFoundError("Python 3.11 or newer is needed")  # noqa: TRY301 -- the cure is the same
    import scheduler.cli.app  # noqa: F401 -- main imports it too late for what is missing to be told here
    from scheduler.cli import main
except ModuleNotFoundError as error:
    sys.stderr.write(f"{sys.executable}: {error}. Cure: `make run` once, or `source .venv/bin/activate`\n")
    sys.exit(2)

if __name__ == "__main__":
    main()
