"""system_cleanup 系统清理: delete old logs and reports, by age and by total size.

Copy this one for work that destroys things: a dry run unless told otherwise, never a step outside the folders it was given, no
link is followed, and the answer says what was (or would be) deleted.
"""

import logging
import os
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from scheduler import should_stop

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent
ROOTS = [str(ROOT / "logs"), str(ROOT / "data" / "reports")]
PATTERNS = ["*.log", "*.log.*", "*.html", "*.tmp"]
DAY_S, MIB = 86_400, 1 << 20


class Candidate(NamedTuple):
    """A file that may be deleted."""

    modified: float
    size: int
    path: str


def run(
    roots: list[str] = ROOTS,
    patterns: list[str] = PATTERNS,
    max_age_days: float = 30,
    max_total_mb: float = 1024,
    dry_run: bool = True,
) -> dict[str, Any]:
    """Delete files under ``roots`` that match ``patterns`` and are too old, then the oldest while a root holds over ``max_total_mb``."""
    deleted: list[str] = []
    freed = 0
    for root in checked(roots):
        doomed = choose(candidates(root, patterns), time.time() - max_age_days * DAY_S, max_total_mb * MIB)
        gone = set(doomed) if dry_run else delete(root, set(doomed))
        deleted += sorted(gone)
        freed += sum(doomed[path] for path in gone)
    log.info("%s %d files, %.1f MB", "would delete" if dry_run else "deleted", len(deleted), freed / MIB)
    return {"dry_run": dry_run, "files": len(deleted), "freed_mb": round(freed / MIB, 3), "deleted": deleted[:100]}


def checked(roots: list[str]) -> list[Path]:
    """The folders that exist, as real paths; ValueError for one that no cleanup should ever be pointed at."""
    found = []
    for text in roots:
        root = Path(text).resolve()
        if root in (Path(root.anchor), Path.home().resolve(), ROOT) or root in ROOT.parents:
            raise ValueError(f"roots: {text} is too much to clean; name a folder of logs or reports")
        if root.is_dir():
            found.append(root)
        else:
            log.info("%s is not there, nothing to clean", root)
    return found


def candidates(root: Path, patterns: list[str]) -> list[Candidate]:
    """Matching regular files below ``root``; os.walk and lstat follow no link."""
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if any(fnmatch(name, pattern) for pattern in patterns) and path.is_file() and not path.is_symlink():
                status = path.lstat()
                found.append(Candidate(status.st_mtime, status.st_size, str(path)))
    return found


def choose(files: list[Candidate], oldest: float, max_bytes: float) -> dict[str, int]:
    """Path → size of what has to go: everything older than ``oldest``, then the oldest of the rest while they are too much."""
    total = sum(file.size for file in files)
    doomed = {}
    for file in sorted(files):
        if file.modified < oldest or total > max_bytes:
            doomed[file.path] = file.size
            total -= file.size
    return doomed


def delete(root: Path, doomed: set[str]) -> set[str]:
    """Delete through open folders: a folder that somebody swaps for a link in this moment leads us nowhere."""
    gone: set[str] = set()
    for folder, _, names, descriptor in os.fwalk(root):
        for name in names:
            path = str(Path(folder, name))
            if path not in doomed:
                continue
            if should_stop():
                return gone
            try:
                os.unlink(name, dir_fd=descriptor)
                gone.add(path)
            except OSError as error:  # in use, or not ours: the next Run tries again
                log.warning("%s stays: %s", path, error)
    return gone
