"""data_sync 数据同步: pull records page by page from an HTTP API or a database, and upsert them into SQLite.

Copy this one for pages, progress, a clean stop, errors worth a retry against final ones, bad items that must not spoil the rest.
It is a BaseTask, for the hooks: ``module: data_sync:DataSyncTask`` in the task file. A plain ``run()`` does as well (health_check.py).
"""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from scheduler import BaseTask, FatalError, RetryableError, current_run, should_stop

HERE = Path(__file__).resolve().parent
SAMPLE, DATABASE = HERE / "sample_data" / "orders.json", HERE.parent / "data" / "sync.db"
STATS_KEY, STATS_TTL_S = "data_sync:stats", 86_400

SCHEMA = """
CREATE TABLE IF NOT EXISTS records
  (id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, amount REAL NOT NULL, created_at TEXT, processed_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS stats (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at REAL NOT NULL);
"""
# An upsert makes the task idempotent: a Run that is tried again after half its work changes nothing twice.
UPSERT = """
INSERT INTO records (id, name, amount, created_at, processed_at)
  VALUES (:id, :name, :amount, :created_at, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
ON CONFLICT (id) DO UPDATE SET name = excluded.name, amount = excluded.amount,
  created_at = excluded.created_at, processed_at = excluded.processed_at
"""

Source = Literal["api", "database"]
Page = tuple[list[Any], int]  # the items, and how many there are in all (0: unknown)


class DataSyncTask(BaseTask):
    """The work of one attempt: ``validate_params``, ``execute``, ``on_success`` or ``on_failure``, and ``cleanup`` always."""

    def execute(self, source: Source = "api", batch_size: int = 100, origin: str = "", database: str = str(DATABASE)) -> dict[str, Any]:
        """``origin``: the URL of an API, a JSON file (its path or file:// URL; '': the sample orders), or the path of a SQLite database."""
        read = pages_of_api if source == "api" else pages_of_database
        seen = processed = 0
        Path(database).parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(database, timeout=30)) as target:
            target.executescript(SCHEMA)
            for items, total in read(origin, batch_size):
                processed += self._save(target, items)
                seen += len(items)
                with suppress(RuntimeError):  # outside the centre there is nobody to tell
                    current_run().progress(100 * seen / total if total else 0, f"{seen} records")
                if should_stop():  # cancelled, over its deadline, or the worker shuts down: what is saved is saved
                    break
            update_stats(target, processed)
        return {"processed_count": processed, "skipped_count": seen - processed, "source": source, "batch_size": batch_size}

    def validate_params(self, **kwargs: Any) -> bool:
        if kwargs.get("source") not in ("api", "database"):
            raise ValueError("source参数必须是'api'或'database'")
        batch_size = kwargs.get("batch_size")
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError("batch_size必须是正整数")
        return True

    def _save(self, target: sqlite3.Connection, items: list[Any]) -> int:
        """One page in one transaction; how many items were good."""
        good = 0
        with target:
            for item in items:
                try:
                    target.execute(UPSERT, transform(item))
                    good += 1
                except (AttributeError, KeyError, TypeError, ValueError, sqlite3.IntegrityError, sqlite3.ProgrammingError) as error:
                    self.logger.error("处理数据项失败: %s, 错误: %r", item, error)  # noqa: TRY400 -- one line an item, no traceback
        return good


def run(source: Source = "api", batch_size: int = 100, origin: str = "", database: str = str(DATABASE)) -> dict[str, Any]:
    """The same without the hooks, for ``module: data_sync`` and for code that calls it by itself."""
    task = DataSyncTask()
    task.validate_params(source=source, batch_size=batch_size)
    return task.execute(source, batch_size, origin, database)


def pages_of_api(origin: str, size: int) -> Iterator[Page]:
    """``GET origin?limit=…&offset=…`` until a page is empty; a file is read once and cut into such pages."""
    if not origin.startswith(("http://", "https://")):
        items, _ = fetch(origin if "://" in origin else Path(origin or SAMPLE).resolve().as_uri())
        yield from ((items[start : start + size], len(items)) for start in range(0, len(items), size))
        return
    offset, previous = 0, None
    while True:
        items, total = fetch(f"{origin}{'&' if '?' in origin else '?'}{urlencode({'limit': size, 'offset': offset})}")
        if not items or items == previous:  # an API that ignores offset gives the same page for ever
            return
        yield items, total
        offset, previous = offset + len(items), items


def fetch(url: str) -> Page:
    """What is there: a list, or ``{"data": [...], "total": n}``. FatalError: asking again will not help. RetryableError: it may."""
    if not url.startswith(("http://", "https://", "file://")):
        raise FatalError(f"origin: {url} is no http(s) URL, and no file")
    try:
        with urlopen(url, timeout=30) as response:  # noqa: S310 -- the scheme was checked above
            answer = json.load(response)
    except HTTPError as error:
        error.close()
        kind = RetryableError if error.code >= 500 or error.code in (408, 429) else FatalError
        raise kind(f"{url} answers {error.code} {error.reason}") from error
    except OSError as error:
        kind = FatalError if url.startswith("file:") else RetryableError
        raise kind(f"{url} cannot be reached: {error}") from error
    except ValueError as error:
        raise FatalError(f"{url} does not answer with JSON: {error}") from error
    return (answer.get("data", []), answer.get("total", 0)) if isinstance(answer, dict) else (answer, 0)


def pages_of_database(path: str, size: int) -> Iterator[Page]:
    """The table ``records`` (id, name, amount, timestamp) of a SQLite file, by key: page 1,000 costs no more than page 1."""
    if not Path(path).is_file():
        raise FatalError(f"origin: {path or 'nothing'} is no SQLite file; source 'database' needs one")
    with closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)) as source:
        source.row_factory = sqlite3.Row
        total, last = source.execute("SELECT count(*) FROM records").fetchone()[0], -1
        page = "SELECT rowid AS at, * FROM records WHERE rowid > ? ORDER BY rowid LIMIT ?"
        while rows := source.execute(page, (last, size)).fetchall():
            yield [dict(row) for row in rows], total
            last = rows[-1]["at"]


def transform(item: dict[str, Any]) -> dict[str, Any]:
    """A record of ours from an item of theirs; raises for one that cannot be used."""
    return {"id": item["id"], "name": item["name"].strip(), "amount": float(item.get("amount") or 0), "created_at": item.get("timestamp")}


def update_stats(target: sqlite3.Connection, processed: int) -> None:
    """Add to the total, which starts anew after a day without any sync."""
    now = time.time()
    with target:
        target.execute("BEGIN IMMEDIATE")  # from reading the total to writing it nobody else may write
        row = target.execute("SELECT value FROM stats WHERE key = ? AND expires_at > ?", (STATS_KEY, now)).fetchone()
        total = (json.loads(row[0])["total_processed"] if row else 0) + processed
        value = json.dumps({"total_processed": total, "last_sync": datetime.now(UTC).isoformat()})
        target.execute("INSERT OR REPLACE INTO stats VALUES (?, ?, ?)", (STATS_KEY, value, now + STATS_TTL_S))
