"""``python run.py`` starts the service; every other command of the CLI works here too: ``python run.py --help``."""

from scheduler.cli import main

if __name__ == "__main__":
    main()
