"""The table that `make faults` ends with: one row per fault, whether the centre held, how long it took, and what was done to it."""

from collections.abc import Iterator
from typing import Any

import pytest

OUTCOMES = {"passed": "held", "failed": "BROKEN", "error": "BROKEN", "skipped": "not run"}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Iterator[None]:
    answer: Any = yield
    answer.get_result().fault = (item.function.__doc__ or "").strip().partition("\n")[0]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [(word, report) for state, word in OUTCOMES.items() for report in terminalreporter.getreports(state)]
    rows = [(r.nodeid.rpartition("::")[2], word, f"{r.duration:.1f} s", r.fault) for word, r in reports if "faults/" in r.nodeid]
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    terminalreporter.section("faults")
    for row in sorted(rows):
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
