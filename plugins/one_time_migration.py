"""one_time_migration 一次性迁移: bring the schema of the synced database up to date, step by step.

Copy this one for changes that must happen exactly once: each step is done in one transaction together with the note that it was
done, so a Run that crashes, is tried again, or runs twice at the same time never applies a step twice.
"""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from scheduler import FatalError, current_run

DATABASE = Path(__file__).resolve().parent.parent / "data" / "sync.db"

RECORDS = """
CREATE TABLE IF NOT EXISTS records
  (id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, amount REAL NOT NULL, created_at TEXT, processed_at TEXT NOT NULL)
"""
# Append only: what was once released is never edited, and its place in the list is its version.
STEPS = [
    ("table records", RECORDS),
    ("index of records by name", "CREATE INDEX IF NOT EXISTS records_by_name ON records (name)"),
    ("column records.note", "ALTER TABLE records ADD COLUMN note TEXT NOT NULL DEFAULT ''"),
]
VERSIONS = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, description TEXT NOT NULL, applied_at TEXT NOT NULL)"


def run(database: str = str(DATABASE), target: int | None = None) -> dict[str, Any]:
    """Apply the steps that are missing, up to version ``target`` (default: all); says from which version to which."""
    wanted = len(STEPS) if target is None else target
    if not 0 <= wanted <= len(STEPS):
        raise FatalError(f"target: {target} is no version; allowed are 0 to {len(STEPS)}")
    Path(database).parent.mkdir(parents=True, exist_ok=True)
    # isolation_level=None: we say BEGIN and COMMIT ourselves, because the module would not put DDL into a transaction.
    with closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as connection:
        connection.execute(VERSIONS)
        before = current_version(connection)
        if before > len(STEPS):
            raise FatalError(f"{database} has version {before}, this plugin knows {len(STEPS)}: it is older than the database")
        applied = [name for version, (name, sql) in enumerate(STEPS[:wanted], 1) if apply(connection, version, name, sql)]
        return {"from": before, "to": current_version(connection), "applied": applied}


def current_version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()[0]
    return version


def apply(connection: sqlite3.Connection, version: int, name: str, sql: str) -> bool:
    """One step, unless it is done already: by us in an earlier attempt, or by somebody else a moment ago."""
    connection.execute("BEGIN IMMEDIATE")  # from here on nobody else writes, so the look below stays true
    try:
        if current_version(connection) >= version:
            connection.execute("ROLLBACK")
            return False
        connection.execute(sql)
        connection.execute("INSERT INTO schema_version VALUES (?, ?, datetime('now'))", (version, name))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    with suppress(RuntimeError):  # outside the centre there is nobody to tell
        current_run().progress(100 * version / len(STEPS), name)
    return True
