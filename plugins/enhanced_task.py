"""enhanced_task 增强任务: an inventory of a folder (checksums, and what changed since the last time), with every decorator there is.

Copy this one for policy in code instead of YAML. The decorators are marks: the centre reads them, keeps the retry delay and the rate
limit in its store, and gives the timeout to the slot. What the task file says wins over them. Without the centre they work alone.
"""

import hashlib
import json
import logging
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from scheduler import current_run, log_execution, monitor_task, rate_limit, retry, should_stop, timeout

log = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent


@monitor_task("enhanced_data_process")  # its name in the metrics
@rate_limit(max_calls=5, time_window=60)  # 每分钟5次: five at once, then one every 12 s; a Run over it waits, it does not fail
@retry(max_attempts=3, delay=5, backoff="exponential", retry_on=[OSError])
@timeout(300)  # 5分钟超时
@log_execution()  # a line at the start and at the end
def run(folder: str = str(HERE), state: str = str(HERE.parent / "data" / "inventory.json")) -> dict[str, Any]:
    """Checksums of all files below ``folder``; what was added, changed or removed since the state file was written."""
    before = read_state(Path(state))
    after = inventory(Path(folder))
    write_state(Path(state), after)
    return {
        "processed_records": len(after),
        "status": "success",
        "timestamp": datetime.now(UTC).isoformat(),
        "added": sorted(after.keys() - before.keys()),
        "changed": sorted(name for name in after.keys() & before.keys() if after[name] != before[name]),
        "removed": sorted(before.keys() - after.keys()),
    }


def inventory(folder: Path) -> dict[str, str]:
    """Relative path → SHA-256 of every regular file, bytecode left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    found = {}
    for number, path in enumerate(files, 1):
        if should_stop():  # half an inventory would report the other half as removed
            raise InterruptedError(f"stopped after {number - 1} of {len(files)} files")
        with path.open("rb") as file:
            found[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
        with suppress(RuntimeError):  # outside the centre there is nobody to tell
            current_run().progress(100 * number / len(files), path.name)
    return found


def read_state(path: Path) -> dict[str, str]:
    """The inventory of the last Run; none, or a file that is no JSON, means a first time."""
    try:
        known: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        log.warning("%s is not readable (%s): starting anew", path, error)
        return {}
    return known


def write_state(path: Path, found: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid4().hex}.tmp")
    part.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    part.replace(path)  # in one step: a reader never sees half a file
