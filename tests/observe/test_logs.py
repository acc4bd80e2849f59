import io
import json
import logging
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scheduler.core.errors import ConfigError
from scheduler.observe import logs
from scheduler.observe.logs import configure_logging
from scheduler.observe.masking import SecretFilter

LOG = logging.getLogger("plugins.data_sync")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _root_logger_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("NO_COLOR", raising=False)
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    for handler in [each for each in root.handlers if each not in before]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


def fail(message: str) -> None:
    raise ValueError(message)


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_away_from_a_terminal() -> None:
    stream = io.StringIO()
    configure_logging("INFO", stream=stream)
    LOG.info("synced %d 条", 3, extra={"source": "api", "event": "mine", "level": "mine"})
    LOG.debug("not shown")
    (line,) = json_lines(stream.getvalue())
    assert list(line)[:4] == ["timestamp", "level", "message", "logger"]
    assert (line["level"], line["message"], line["logger"], line["source"]) == ("info", "synced 3 条", "plugins.data_sync", "api")
    assert "条" in stream.getvalue()


def test_pretty_on_a_terminal_in_colour_unless_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    configure_logging(stream=stream)
    LOG.warning("slow", extra={"seconds": 3})
    assert "\x1b[" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    configure_logging(stream=stream)
    stream.truncate(stream.seek(0))
    LOG.warning("slow", extra={"seconds": 3})
    assert "\x1b[" not in stream.getvalue()
    assert "[warning  ] slow [plugins.data_sync] seconds=3" in stream.getvalue()


def test_times_are_in_the_zone_that_was_given(tmp_path: Path) -> None:
    stream = Terminal()
    configure_logging(directory=tmp_path, stream=stream, zone=ZoneInfo("Asia/Kolkata"))
    LOG.info("hello")
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0530", stream.getvalue())
    (line,) = json_lines((tmp_path / "scheduler.log").read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+05:30", line["timestamp"])


def test_a_message_cannot_forge_a_line_or_drive_the_terminal() -> None:
    for fmt in ("pretty", "json"):
        stream = io.StringIO()
        configure_logging(fmt=fmt, stream=stream)
        LOG.info("got %s", "x\n2026-01-01 [info] all is well\x1b[2J\u202e\x9b", extra={"from": "a\nb\x1b"})
        assert stream.getvalue().count("\n") == 1
        assert not set("\x1b\u202e\x9b") & set(stream.getvalue())


def test_tracebacks_are_kept_whole_and_indented() -> None:
    stream = io.StringIO()
    configure_logging(fmt="pretty", stream=stream)
    try:
        fail("line one\n2026-01-01 forged")
    except ValueError:
        LOG.exception("failed", stack_info=True)
    lines = stream.getvalue().splitlines()
    assert all(line.startswith("    ") for line in lines[1:] if line.strip("="))  # a rule of === parts stack and traceback
    assert "    ValueError: line one" in lines
    assert "    2026-01-01 forged" in lines
    assert "    Stack (most recent call last):" in lines


def test_secrets_are_masked_in_every_part() -> None:
    stream = io.StringIO()
    configure_logging(fmt="json", stream=stream, secrets=SecretFilter(["hunter2pw"]))
    try:
        fail("hunter2pw")
    except ValueError:
        LOG.exception("login with %s", "hunter2pw", extra={"url": "redis://:hunter2pw@db"})
    (line,) = json_lines(stream.getvalue())
    assert "hunter2pw" not in stream.getvalue()
    assert line["message"] == "login with ***"
    assert "ValueError: ***" in line["exception"]


def test_the_context_is_added_to_every_record() -> None:
    stream = io.StringIO()
    configure_logging(fmt="json", stream=stream, context=lambda: {"run": "r1", "attempt": 2})
    LOG.info("hello")
    (line,) = json_lines(stream.getvalue())
    assert (line["run"], line["attempt"]) == ("r1", 2)


def test_files_are_json_private_and_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES", 400)
    folder = tmp_path / "var" / "logs"
    configure_logging("debug", folder, "pretty", io.StringIO(), name="worker-1")
    for number in range(9):
        LOG.debug("line %d", number)
    files = sorted(folder.iterdir())
    assert [path.name for path in files[:2]] == ["worker-1.log", "worker-1.log.1"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    messages = [line["message"] for path in reversed(files) for line in json_lines(path.read_text("utf-8"))]
    assert messages == [f"line {number}" for number in range(9)]


def test_a_second_call_replaces_the_first_and_leaves_others_handlers(tmp_path: Path) -> None:
    foreign, first, second = logging.NullHandler(), io.StringIO(), io.StringIO()
    logging.getLogger().addHandler(foreign)
    configure_logging(directory=tmp_path, stream=first)
    configure_logging(stream=second)
    LOG.info("once")
    assert first.getvalue() == ""
    assert len(json_lines(second.getvalue())) == 1
    assert foreign in logging.getLogger().handlers
    assert (tmp_path / "scheduler.log").read_text() == ""


def test_stderr_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    LOG.info("to stderr")
    assert json_lines(capsys.readouterr().err)[0]["message"] == "to stderr"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": "VERBOS"}, r"logging.level: 'VERBOS' is none of .*INFO"),
        ({"level": "warnin"}, "did you mean 'WARNING'"),
        ({"fmt": "yson"}, r"logging.format: 'yson' is none of auto, pretty, json; did you mean 'json'\?"),
    ],
)
def test_a_wrong_setting_is_named(arguments: dict[str, Any], message: str) -> None:
    handlers = list(logging.getLogger().handlers)
    with pytest.raises(ConfigError, match=message):
        configure_logging(**arguments)
    assert logging.getLogger().handlers == handlers


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"logging.dir: '.*file/logs' cannot be written \(Not a directory\)"):
        configure_logging(directory=tmp_path / "file" / "logs")
