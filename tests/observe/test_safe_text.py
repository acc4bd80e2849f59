import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.observe.safe_text import UNSAFE, indented, json_escape, mask_url, one_line

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT, st.integers(0, 30))
def test_one_line_is_one_harmless_line(text: str, limit: int) -> None:
    safe = one_line(text, limit)
    assert not UNSAFE.search(safe)
    assert len(safe.splitlines()) <= 1
    assert safe.encode().decode() == safe


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred\x1b]8;;http://x\x07", "\\x1b[31mred\\x1b]8;;http://x\\x07"),
        ("abc\u202etxt.exe", "abc\\u202etxt.exe"),
        ("\x9b2J", "\\x9b2J"),
        ("任务 ✓", "任务 ✓"),
    ],
)
def test_controls_are_spelled_out(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_a_long_text_is_cut() -> None:
    assert one_line("x" * 100, 10) == "x" * 9 + "…"
    assert one_line("x" * 10, 10) == "x" * 10


def test_no_line_of_a_block_can_pass_for_a_log_line() -> None:
    assert indented("Traceback\n2026-01-01 [info] forged\r\x1b[2J") == "    Traceback\n    2026-01-01 [info] forged\\r\\x1b[2J"


@given(ANY_TEXT)
def test_escaped_json_has_the_same_value(text: str) -> None:
    escaped = json_escape(json.dumps({"message": text}, ensure_ascii=False))
    assert json.loads(escaped) == {"message": text}
    assert not UNSAFE.search(escaped)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://:hunter2@db:6379/0", "redis://:***@db:6379/0"),
        ("rediss://ann:p@ss/w:rd@db/0", "rediss://ann:***@db/0"),
        ("redis://db:6379/0?password=hunter2&db=1", "redis://db:6379/0?password=***&db=1"),
        ("http://127.0.0.1:8400/?Token=abc", "http://127.0.0.1:8400/?Token=***"),
        ("unix:///data/redis.sock", "unix:///data/redis.sock"),
        ("redis+sentinel://u:pw@a:1,b:2/mymaster", "redis+sentinel://u:***@a:1,b:2/mymaster"),
    ],
)
def test_urls_lose_their_secrets(url: str, masked: str) -> None:
    assert mask_url(url) == masked
