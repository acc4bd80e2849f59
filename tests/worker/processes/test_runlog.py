import logging
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.worker.runlog import RING_BYTES, RunLog


def test_a_silent_run_leaves_no_file(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "runs" / "r.log")
    log.write(b"")
    log.close()
    assert not log.path.parent.exists()
    assert (log.tail(), log.total) == (b"", 0)


def test_files_and_their_new_folders_are_private(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "runs" / "day" / "r.log")
    log.write(b"hello\n")
    assert log.path.read_bytes() == b"hello\n"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (log.path, log.path.parent, log.path.parent.parent)] == [0o600, 0o700, 0o700]


def test_the_file_ends_at_its_cap_and_says_so(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "r.log", cap_bytes=100)
    for _ in range(30):
        log.write(b"123456789\n")
    assert log.path.read_bytes() == b"123456789\n" * 10 + b"\n... truncated\n"
    assert log.tail() == b"123456789\n" * 30
    assert log.total == 300


@pytest.mark.parametrize("before", [90, 115, 200])
def test_an_earlier_attempt_counts_towards_the_cap(tmp_path: Path, before: int) -> None:
    path = tmp_path / "r.log"
    path.write_bytes(b"x" * before)
    log = RunLog(path, cap_bytes=100)
    log.write(b"y" * 50)
    log.write(b"z")
    assert path.read_bytes().startswith(b"x" * before)
    assert path.stat().st_size <= max(before, 100) + len(b"\n... truncated\n")
    assert log.tail() == b"y" * 50 + b"z"


@given(st.lists(st.integers(0, 3 * RING_BYTES), max_size=6))
def test_the_tail_is_the_newest_part(sizes: list[int]) -> None:
    log = RunLog(Path(os.devnull))
    whole = b""
    for number, size in enumerate(sizes):
        data = bytes([65 + number]) * size
        whole += data
        log.write(data)
    assert log.tail() == whole[-RING_BYTES:]
    assert log.total == len(whole)
    log.close()


def test_a_log_that_is_closed_goes_on_in_memory(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "r.log")
    log.write(b"one ")
    log.close()
    log.write(b"two")
    assert (log.path.read_bytes(), log.tail()) == (b"one ", b"one two")


def test_a_full_disk_costs_the_file_only() -> None:
    log = RunLog(Path("/dev/full"), cap_bytes=10)
    log.write(b"lost")
    assert log.tail() == b"lost"


def test_what_cannot_be_written_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "day"
    folder.write_text("a file")
    for number in range(3):
        RunLog(folder / f"{number}.log").write(b"lost")
    assert [record.getMessage() for record in caplog.records] == [
        f"the output of Runs cannot be written to {folder}, only the newest of it is kept: errno 17, File exists"
    ]


def test_a_warning_inside_the_run_reaches_its_log(tmp_path: Path) -> None:
    folder = tmp_path / "day"
    folder.write_text("a file")
    log = RunLog(folder / "r.log")
    logger, handler = logging.getLogger("scheduler.worker"), logging.Handler()
    handler.emit = lambda record: log.write(record.getMessage().encode())
    logger.addHandler(handler)
    try:
        log.write(b"lost; ")
    finally:
        logger.removeHandler(handler)
    assert log.tail().startswith(b"lost; the output of Runs cannot be written")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"mine")
    (tmp_path / "r.log").symlink_to(tmp_path / "target")
    log = RunLog(tmp_path / "r.log")
    log.write(b"theirs")
    assert (tmp_path / "target").read_bytes() == b"mine"
    assert log.tail() == b"theirs"


def test_threads_do_not_tear_each_others_lines(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "r.log")
    threads = [threading.Thread(target=lambda n=n: [log.write(b"%d" % n * 20 + b"\n") for _ in range(200)]) for n in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    log.close()
    lines = log.path.read_bytes().splitlines()
    assert len(lines) == 800
    assert {line[:1] * 20 for line in lines} == set(lines)
