import json
import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from scheduler.core.marks import marks_of, unmarked
from scheduler.decorators import log_execution, monitor_task, rate_limit, retry, timeout


def test_the_seeds_stack_marks_and_still_works() -> None:
    @monitor_task("enhanced_data_process")
    @rate_limit(max_calls=5, time_window=60)
    @timeout(300)
    @log_execution()
    def run() -> str:
        """Enhanced."""
        return "ok"

    assert dict(marks_of(run)) == {
        "metric": "enhanced_data_process",
        "rate_limit": {"max_calls": 5, "time_window": 60},
        "timeout": 300,
        "log_runs": True,
    }
    assert (run.__name__, run.__doc__, run()) == ("run", "Enhanced.", "ok")
    assert unmarked(run) is run.__wrapped__.__wrapped__.__wrapped__.__wrapped__


def traced(func: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapper


def test_a_foreign_wrapper_stays_inside_ours() -> None:
    @traced
    def run() -> None: ...

    assert unmarked(timeout(3)(retry()(run))) is run


def test_a_foreign_wrapper_around_ours_shows_the_marks_and_stays() -> None:
    @traced
    @timeout(3)
    def run() -> None: ...

    assert marks_of(run) == {"timeout": 3}
    assert unmarked(run) is run
    outer = retry(2)(run)
    assert marks_of(outer)["timeout"] == 3
    assert unmarked(outer) is run


def test_importing_the_decorators_imports_nothing_heavy() -> None:
    code = "import json, sys; from scheduler.decorators import retry; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout))
    assert not loaded & {"asyncio", "concurrent.futures", "prometheus_client", "limits", "psutil", "pynvml", "redis", "structlog"}
