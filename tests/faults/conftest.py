"""The table that `make faults` ends with: one row per fault, whether the centre held, how long it took, what was done and what was seen."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.cluster import Cluster, until

OUTCOMES = {"passed": "held", "failed": "BROKEN", "error": "BROKEN", "skipped": "not run"}


@pytest.fixture
def clusters() -> Iterator[Callable[..., Cluster]]:
    """Makes clusters; afterwards they must stop in order and leave no process behind (I8)."""
    made: list[Cluster] = []

    def make(tasks: dict[str, Any], **sections: Any) -> Cluster:
        made.append(Cluster(tasks, **sections))
        return made[-1]

    try:
        yield make
        for cluster in made:
            codes = cluster.stop()
            until(lambda cluster=cluster: not cluster.leftovers(), 5, f"no process is left: {cluster.leftovers()}")
            assert set(codes) <= {0}, f"exit codes of the instances: {codes}"
    finally:
        for cluster in made:
            cluster.close()


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """What was measured, for the table."""
    return lambda text: record_property("figures", text)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Iterator[None]:
    answer: Any = yield
    answer.get_result().fault = (item.function.__doc__ or "").strip().partition("\n")[0]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [(word, report) for state, word in OUTCOMES.items() for report in terminalreporter.getreports(state)]
    rows = [
        (r.nodeid.rpartition("::")[2], word, f"{r.duration:.1f} s", r.fault, _figures(r))
        for word, r in reports
        if "faults/" in r.nodeid and hasattr(r, "fault")  # collecting has no rows
    ]
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    terminalreporter.section("faults")
    for row in sorted(rows):
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _figures(report: Any) -> str:
    return "; ".join(str(value) for name, value in report.user_properties if name == "figures")
