"""The command line: one file per group of commands."""


def main() -> None:
    """Entry point of ``scheduler`` and of run.py; without a command it serves."""
    from scheduler.center import SchedulerCenter
    from scheduler.service import Service

    service = Service(SchedulerCenter(), ("timer", "worker"), [Printer()])
    service.start()
    raise SystemExit(service.run())


class Printer:
    def observe(self, events):
        from scheduler.observe.console import format_event
        for e in events:
            line = format_event(e, "en", False)
            if line: print(line, flush=True)
