"""Errors that users meet. Each message names the place, the value and what is allowed."""


class SchedulerError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(SchedulerError):
    """One or more mistakes in env.yaml or a task file; ``problems`` holds them all, each with its place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StoreError(SchedulerError):
    """The live store cannot be used: unreachable, too old, not durable, wrong password. The message says the cure."""


class PluginError(SchedulerError, ImportError):
    """A plugin cannot be loaded; the task is broken, the centre goes on."""


class UnknownTaskError(SchedulerError):
    """No task of this name; the message names the nearest."""


class UnknownScheduleError(SchedulerError):
    """No schedule of this name; the message names the nearest."""


class ParamsError(SchedulerError):
    """Parameters do not fit the task's run()."""


class ConflictError(SchedulerError):
    """The id or idempotency key was used before with another body."""


class IntakeClosedError(SchedulerError):
    """The store is full and refuses new Runs; those it has go on."""


class RunNotFoundError(SchedulerError):
    """No Run of this id, or it was retired from the live store."""


class WaitTimeoutError(SchedulerError, TimeoutError):
    """A Run did not end within the time given to ``wait``."""


class RetryableError(Exception):
    """Raise it in run() to say: try again by the task's policy, whatever ``give_up_on`` says."""


class FatalError(Exception):
    """Raise it in run() to say: failed for good, do not retry."""


class GateClosedError(Exception):
    """A gate (GPU, rate limit) is closed now. Not a failure: the Run goes back without using up an attempt."""

    def __init__(self, reason: str, retry_after_ms: int, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason
        self.retry_after_ms = retry_after_ms
