"""daily_report 每日报告: an HTML page about the synced records, in one file that needs nothing else.

Copy this one for reports: it reads only, it takes "today" from the schedule and not from the clock (so a Run that comes late, or is
tried again after midnight, still writes the report it was meant to write), and it replaces the old file in one step.
"""

import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from scheduler import current_run

DATA = Path(__file__).resolve().parent.parent / "data"

PAGE = """<!doctype html>
<html lang="zh"><meta charset="utf-8"><title>{title}</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
  table {{ border-collapse: collapse; width: 100% }} td, th {{ padding: .3rem .6rem; text-align: left; border-bottom: 1px solid #ddd }}
  td.number {{ text-align: right; font-variant-numeric: tabular-nums }} .bar {{ background: #4a7; height: .8rem }}
</style>
<h1>{title}</h1>
<p>{count} 条记录 records · 合计 total {amount:,.2f} · 生成于 generated {made}</p>
<table><tr><th>名称 name<th>笔数 count<th>金额 amount<th></tr>
{rows}
</table>
"""
ROW = '<tr><td>{name}<td class="number">{count}<td class="number">{amount:,.2f}<td><div class="bar" style="width:{width:.0f}%"></div></tr>'


def run(
    database: str = str(DATA / "sync.db"), out_dir: str = str(DATA / "reports"), prefix: str = "daily_report", top: int = 20
) -> dict[str, Any]:
    """Write ``out_dir/prefix-DATE.html`` with the ``top`` names by amount; no data yet makes an empty report, not an error."""
    day = report_day()
    totals, groups = read(Path(database), top)
    path = Path(out_dir) / f"{prefix}-{day:%Y-%m-%d}.html"
    write_atomically(path, render(f"{prefix} {day:%Y-%m-%d}", totals, groups))
    return {"path": str(path), "records": totals[0], "amount": round(totals[1], 2)}


def report_day() -> datetime:
    """The instant this report is about, in local time: that of the schedule, or now for a Run somebody asked for."""
    with suppress(RuntimeError):  # outside the centre there is no Run
        if scheduled := current_run().scheduled_at:
            return scheduled.astimezone()
    return datetime.now(UTC).astimezone()


def read(database: Path, top: int) -> tuple[tuple[int, float], list[tuple[str, int, float]]]:
    """((records, amount), [(name, records, amount)]), the biggest amount first."""
    if not database.is_file():
        return (0, 0.0), []
    # Read-only: a report never creates, locks or repairs what it reports on.
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as source:
        totals = source.execute("SELECT count(*), coalesce(sum(amount), 0.0) FROM records").fetchone()
        by_name = "SELECT name, count(*), sum(amount) AS amount FROM records GROUP BY name ORDER BY amount DESC, name LIMIT ?"
        return totals, source.execute(by_name, (top,)).fetchall()


def render(title: str, totals: tuple[int, float], groups: list[tuple[str, int, float]]) -> str:
    most = max((amount for _, _, amount in groups), default=0) or 1
    # Every text from the data is escaped: a name such as <script> must stay a name.
    rows = [ROW.format(name=escape(name), count=count, amount=amount, width=max(0, 100 * amount / most)) for name, count, amount in groups]
    made = datetime.now(UTC).astimezone().isoformat(" ", "seconds")
    return PAGE.format(title=escape(title), count=totals[0], amount=totals[1], made=made, rows="\n".join(rows))


def write_atomically(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, never half of it: write beside it, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
