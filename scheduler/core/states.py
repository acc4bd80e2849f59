"""The one vocabulary of Run states and reasons, used in Redis, SQL, HTTP and the CLI alike."""

from enum import StrEnum


class State(StrEnum):
    """Where a Run is. It has exactly one state, and ends at most once, unless somebody retries it by hand."""

    WAITING = "waiting"  # for the Runs it depends on
    DELAYED = "delayed"  # until its due time: submitted with a delay, or between two attempts
    PENDING = "pending"  # in its lane, free to be claimed
    RUNNING = "running"  # claimed by a worker
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    DEAD = "dead"  # failed and kept for inspection: every attempt was used up, or the Run kills its workers


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.SKIPPED, State.DEAD})


class Reason(StrEnum):
    """Why a Run is where it is: the second field, never a state of its own."""

    ERROR = "error"  # run() raised
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"  # the process of the attempt died: a signal, os._exit, sys.exit
    OOM = "oom"  # the attempt's process tree went over memory_limit, or the kernel killed it for memory
    LOST = "lost"  # the worker died with the Run in its hands
    POISON = "poison"  # the Run killed its own process, as its third strike
    CANCELLED = "cancelled"
    RETRY = "retry"
    SCHEDULED = "scheduled"  # submitted with a delay or a time
    SHUTDOWN = "shutdown"  # handed back by a worker that was told to stop
    RATE_LIMITED = "rate_limited"
    CONCURRENCY = "concurrency"
    PAUSED = "paused"
    NO_WORKER = "no_worker"
    GPU_BUSY = "gpu_busy"
    NOT_READY = "not_ready"  # a layer of the attempt could not be entered: the store or a driver is away
    MISFIRED = "misfired"
    COALESCED = "coalesced"
    OVERLAP = "overlap"
    PASSED = "passed"  # a date that lay in the past when its schedule was made
    TASK_REMOVED = "task_removed"
    REFUSED = "refused"  # the task is broken or unknown where it should run
