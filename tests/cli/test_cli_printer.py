"""The lines of ``serve``: few enough for a terminal, and never in the way."""

import threading
from collections.abc import Iterator
from datetime import UTC

import pytest

from scheduler.cli.printer import LINES_PER_S, Printer
from scheduler.core.events import Event


def event(number: int, kind: str = "succeeded", reason: str = "") -> Event:
    return Event(f"1-{number}/0", 1_700_000_000_000, kind, f"run-{number}", "task", 1, "w", reason, 1.0, "")


class Terminal:
    """What was written; it stops reading while ``open`` is clear."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.now_s = 100.0
        self.open = threading.Event()
        self.open.set()
        self.printer = Printer(self.write, "en", color=False, zone=UTC, clock=lambda: self.now_s)

    def write(self, line: str) -> None:
        assert self.open.wait(10)
        self.lines.append(line)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.open.set()
    made.printer.close()


def test_each_end_has_its_line(terminal: Terminal) -> None:
    terminal.printer.observe([event(1, "pending"), event(1, "running"), event(1), event(2, "failed", "error")])
    terminal.printer.close()
    assert [line.split()[2] for line in terminal.lines] == ["succeeded", "failed"]
    assert "run-1" in terminal.lines[0]


def test_more_than_a_terminal_can_take_is_summed_up(terminal: Terminal) -> None:
    terminal.printer.observe([event(number) for number in range(1000)])
    terminal.printer.observe([event(number, "failed") for number in range(7)])
    terminal.printer.observe([event(number, "running") for number in range(7)])
    terminal.now_s += 1
    terminal.printer.observe([])
    terminal.printer.close()
    assert len(terminal.lines) == LINES_PER_S + 1
    assert terminal.lines[-1].strip() == "… and 987 more Runs in this second: 980 succeeded, 7 failed"


def test_the_next_second_has_room_again(terminal: Terminal) -> None:
    for second in range(3):
        terminal.now_s = 100.0 + second
        terminal.printer.observe([event(number) for number in range(LINES_PER_S)])
    terminal.printer.close()
    assert len(terminal.lines) == 3 * LINES_PER_S


def test_a_stopped_terminal_stops_nobody(terminal: Terminal) -> None:
    terminal.open.clear()
    for second in range(50):
        terminal.now_s = 100.0 + second
        terminal.printer.observe([event(number) for number in range(100)])
    terminal.open.set()
    terminal.printer.close()
    assert len(terminal.lines) <= 101


def test_what_was_not_told_meanwhile_is_told_later(terminal: Terminal) -> None:
    terminal.open.clear()
    for second in range(50):
        terminal.now_s = 100.0 + second
        terminal.printer.observe([event(number) for number in range(100)])
    terminal.open.set()
    while len(terminal.lines) < 100:
        pass
    terminal.now_s += 1
    terminal.printer.observe([])
    terminal.printer.close()
    told = sum(int(line.split("and ")[1].split()[0]) if "more Runs" in line else 1 for line in terminal.lines)
    assert told == 5000


def test_a_closed_terminal_ends_the_printing_alone() -> None:
    def gone(_: str) -> None:
        raise BrokenPipeError

    printer = Printer(gone, "zh", color=True, zone=UTC)
    for number in range(300):
        printer.observe([event(number)])
    printer.close()
