"""Did you mean …?"""

import pytest

from scheduler.core.nearest import did_you_mean, nearest

KNOWN = ("timeout", "max_attempts", "misfire", "misfire_grace_time")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("timout", "timeout"),
        ("TimeOut", "timeout"),
        ("max", "max_attempts"),
        ("misfire_gr", "misfire_grace_time"),
        ("zzz", ""),
        ("", ""),
        (7, ""),
    ],
)
def test_the_nearest_name(word: object, meant: str) -> None:
    assert nearest(word, KNOWN) == meant


def test_it_says_so_only_where_there_is_one() -> None:
    assert did_you_mean("timout", KNOWN) == "; did you mean 'timeout'?"
    assert did_you_mean("zzz", KNOWN) == ""
