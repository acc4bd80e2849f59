import logging
import sys
from typing import Any

import pytest

from scheduler.observe.masking import SecretFilter

FILTER = SecretFilter(["hunter2pw", "hunter2pw-long", "s p/ce!", "short", ""])


def record(message: str, *args: Any, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("plugin", logging.INFO, __file__, 1, message, args, more.pop("exc_info", None))
    made.__dict__.update(more)
    return made


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("pw=hunter2pw.", "pw=***."),
        ("hunter2pw-long", "***"),  # the longest first, no rest of it stays
        ("redis://:s%20p%2Fce%21@db", "redis://:***@db"),
        ("a short text", "a short text"),  # too short to be masked
    ],
)
def test_masks_known_values(text: str, masked: str) -> None:
    assert FILTER.mask(text) == masked


def test_masks_message_arguments_and_extras() -> None:
    made = record("login %s as %s", "ann", "hunter2pw", url="redis://:hunter2pw@db", ports=[1, "hunter2pw"])
    made.__dict__["deep"] = {"hunter2pw": {"a": ("hunter2pw", None, 2.5)}}
    made.__dict__["object"] = ValueError("hunter2pw")
    assert FILTER.filter(made)
    assert made.getMessage() == "login ann as ***"
    assert (made.__dict__["url"], made.__dict__["ports"], made.__dict__["object"]) == ("redis://:***@db", [1, "***"], "***")
    assert made.__dict__["deep"] == {"***": {"a": ["***", None, 2.5]}}


def test_masks_tracebacks_and_stacks() -> None:
    try:
        int("hunter2pw")
    except ValueError:
        made = record("failed", exc_info=sys.exc_info(), stack_info="at hunter2pw")
    FILTER.filter(made)
    text = logging.Formatter().format(made)
    assert "with base 10: '***'" in text
    assert "at ***" in text
    assert "hunter2pw" not in text


def test_masks_a_traceback_that_was_formatted_before() -> None:
    made = record("failed", exc_text="ValueError: hunter2pw")
    FILTER.filter(made)
    assert made.exc_text == "ValueError: ***"


def test_without_secrets_nothing_is_touched() -> None:
    made = record("%d of %d", 1, 2, extra_field=(1, 2))
    assert SecretFilter(["", "12345"]).filter(made)
    assert (made.msg, made.args, made.__dict__["extra_field"]) == ("%d of %d", (1, 2), (1, 2))
    assert SecretFilter([]).mask("text") == "text"
