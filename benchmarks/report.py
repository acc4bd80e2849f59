"""From repetitions to medians, and from medians to the tables that are printed."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from load import CLEAN_CORES

Result = dict[str, Any]


class Column(NamedTuple):
    """`spread` also shows the lowest and highest repetition."""

    title: str
    key: str
    digits: int = 0
    spread: bool = False


OTHERS = Column("others, cores", "other_cores", 2)
TABLES = {
    "throughput": (
        "No-op tasks: submitted first, then worked off",
        (
            Column("one by one/s", "one_per_s"),
            Column("bulk/s", "bulk_per_s"),
            Column("processed/s", "processed_per_s", 0, spread=True),
            Column("worker µs", "worker_us"),
            Column("server µs", "server_us", 1),
            Column("commands", "commands", 2),
            OTHERS,
        ),
    ),
    "latency": (
        "Start latency on an idle system, one task every 20 ms",
        (
            Column("p50 ms", "p50_ms", 2),
            Column("p99 ms", "p99_ms", 2, spread=True),
            Column("max ms", "max_ms", 1),
            Column("idle CPU %", "idle_cpu_percent", 1),
            Column("idle commands/s", "idle_commands_per_s", 1),
            OTHERS,
        ),
    ),
    "fires": (
        "Schedules of one second: the highest rate of the ladder that was held",
        (
            Column("held/s", "demanded_per_s"),
            Column("fired/s", "fired_per_s", 0, spread=True),
            Column("late p50 ms", "p50_ms", 1),
            Column("late p99 ms", "p99_ms", 1),
            Column("CPU %", "cpu_percent"),
            Column("server CPU %", "server_cpu_percent", 1),
            Column("broke at/s", "broke_at"),
            OTHERS,
        ),
    ),
}


def median(runs: Sequence[Result]) -> Result:
    """Key by key over the repetitions that others left alone, or over all when there is none."""
    clean = [run for run in runs if run["other_cores"] <= CLEAN_CORES]
    chosen = clean or list(runs)
    keys = dict.fromkeys(key for run in chosen for key in run)
    numbers = {key: [run[key] for run in chosen if isinstance(run.get(key), int | float)] for key in keys}
    summary: Result = {key: statistics.median(values) for key, values in numbers.items() if values}
    ranges = {f"{key}_range": [min(values), max(values)] for key, values in numbers.items() if values}
    return {**summary, **ranges, "runs": len(runs), "clean": len(clean)}


def cell(row: Result, column: Column) -> str:
    value = row.get(column.key)
    if value is None:
        return "–"
    text = f"{value:,.{column.digits}f}"
    if column.spread and row["runs"] > 1:
        low, high = row[f"{column.key}_range"]
        text += f" ({low:,.{column.digits}f}–{high:,.{column.digits}f})"
    return text


def aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]) for row in rows)


def table(kind: str, results: dict[str, dict[str, Result]]) -> str:
    """All systems that were measured so; a star marks one with no repetition that others left alone."""
    title, columns = TABLES[kind]
    rows = [["", *(column.title for column in columns)]]
    for name, measured in results.items():
        if row := measured.get(kind):
            star = "" if row["clean"] else " *"
            rows.append([name + star, *(cell(row, column) for column in columns)])
    return f"\n{title}\n{aligned(rows)}" if len(rows) > 1 else ""
