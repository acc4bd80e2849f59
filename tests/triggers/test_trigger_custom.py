"""Triggers that users write: what they may do, and how their mistakes are told."""

from typing import Any

import pytest

from scheduler.triggers import TriggerError, build_trigger, next_fires


class Tenfold:
    """Fires at 10, 100, 1000 … times ``base``."""

    def __init__(self, base: int = 1) -> None:
        self.base = base

    def next(self, after_ms: int) -> int | None:
        instant = self.base
        while instant <= after_ms:
            instant *= 10
        return instant if instant < 10**15 else None


class Wrong:
    """Answers 1 to the first question, then whatever it was given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def next(self, after_ms: int) -> Any:
        if after_ms < 0:
            return 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class NoTrigger:
    """Has no next."""


REGISTER: dict[str, type] = {"my.calendar:Tenfold": Tenfold, "w:Wrong": Wrong, "n:NoTrigger": NoTrigger}


def build(name: object, **args: Any) -> Any:
    return build_trigger("custom", {"class": name, **args}, register=REGISTER)


def test_a_registered_class_fires() -> None:
    trigger = build("my.calendar:Tenfold", base=3, end_date="1970-01-01T00:01:00Z", jitter=2, max_runs=4, timezone="Asia/Shanghai", dst={})
    assert next_fires(trigger, 10, 5) == [30, 300, 3000, 30_000]
    assert (trigger.jitter_ms, trigger.max_runs) == (2000, 4)


def test_it_may_be_combined() -> None:
    inner = [{"trigger": "custom", "args": {"class": "my.calendar:Tenfold", "base": 60}}, {"trigger": "interval", "args": {"minutes": 10}}]
    trigger = build_trigger("and", {"triggers": inner}, register=REGISTER)
    assert next_fires(trigger, 0, 3) == [600_000, 6_000_000, 60_000_000]


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        (
            "my.calendar:Tenfolds",
            {},
            "class 'my.calendar:Tenfolds' is not a registered trigger: known are .*did you mean 'my.calendar:Tenfold'",
        ),
        (None, {}, "class None is not a registered trigger"),
        (["x"], {}, r"class \['x'\] is not a registered trigger"),
        ("my.calendar:Tenfold", {"bass": 3}, "class my.calendar:Tenfold cannot be built: TypeError: .*'bass'"),
        ("n:NoTrigger", {}, r"class n:NoTrigger has no method next\(after_ms\)"),
    ],
)
def test_what_cannot_be_built_is_told(name: object, args: dict[str, Any], message: str) -> None:
    with pytest.raises(TriggerError, match=message) as caught:
        build(name, **args)
    assert caught.value.key == ("class",)


def test_without_any_class_registered() -> None:
    with pytest.raises(TriggerError, match="class 'a:B' is not a registered trigger: known are none"):
        build_trigger("custom", {"class": "a:B"})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (5, r"w:Wrong.next\(10\) gave 5: it must give a whole number above 10, or None"),
        (10, "gave 10"),
        (11.5, "gave 11.5"),
        (True, "gave True"),
        ("soon", "gave 'soon'"),
        (ValueError("no table for that year"), r"w:Wrong.next\(10\) raised ValueError: no table for that year"),
        (SystemExit(3), "raised SystemExit: 3"),
    ],
)
def test_wrong_answers_name_the_class_and_the_question(answer: Any, message: str) -> None:
    trigger = build("w:Wrong", answer=answer)
    with pytest.raises(TriggerError, match=message):
        trigger.next(10)
