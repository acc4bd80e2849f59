import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.outcome import OK, Kind
from scheduler.worker import capture
from scheduler.worker.capture import format_bytes, outcome_of_death, outcome_of_exception, outcome_of_result, over_memory, timed_out
from scheduler.worker.forkserver import passed_environment
from scheduler.worker.wire import LineBuffer, pack

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists, max_leaves=8
)


@given(st.dictionaries(st.text(), JSON, max_size=3) | JSON)
def test_a_result_survives_as_json(value: Any) -> None:
    outcome = outcome_of_result(value)
    assert (outcome.kind, outcome.error) == (Kind.OK, None)
    assert value is None or json.loads(outcome.result) == value


def test_no_result_costs_nothing() -> None:
    assert outcome_of_result(None) is OK


def test_the_limit_is_in_bytes_and_exact() -> None:
    fits = "x" * (capture.RESULT_LIMIT - 2)
    assert outcome_of_result(fits).result == f'"{fits}"'
    assert outcome_of_result(fits + "x").error
    assert "larger than 256 KiB" in outcome_of_result("é" * (capture.RESULT_LIMIT // 2)).error.message


@given(st.text(st.characters(), max_size=300), st.integers(10, 200))
def test_a_cut_text_is_valid_and_short(text: str, limit: int) -> None:
    cut = capture._cut(text, limit)
    middle = capture._cut_middle(text * 5, limit + 60)
    assert len(cut.encode()) <= limit
    assert len(middle.encode()) <= limit + 60
    if len(text.encode(errors="backslashreplace")) <= limit:
        assert cut == text.encode(errors="backslashreplace").decode()


class _HostileError(Exception):
    @property
    def __cause__(self) -> None:  # type: ignore[override]  # the point: it raises when asked
        raise RuntimeError("no cause is told")

    @__cause__.setter
    def __cause__(self, value: object) -> None: ...


def test_an_exception_that_resists_being_written_is_still_told() -> None:
    error = outcome_of_exception(_HostileError("why")).error
    assert (error.type, error.message, error.traceback) == ("_HostileError", "why", "")


def test_out_of_memory_while_telling_is_told_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> str:
        raise MemoryError

    monkeypatch.setattr(capture, "_message", exhausted)
    outcome = outcome_of_exception(ValueError("x"))
    assert (outcome.kind, outcome.error.type) == (Kind.ERROR, "MemoryError")


def test_causes_are_told_too() -> None:
    try:
        try:
            {}["first"]
        except KeyError as first:
            raise ValueError("second") from first
    except ValueError as second:
        error = outcome_of_exception(second).error
    assert error.traceback.index("KeyError: 'first'") < error.traceback.index("ValueError: second")
    assert error.bases == ("ValueError", "Exception", "BaseException")


def test_deaths_have_a_cause_and_a_peak() -> None:
    assert outcome_of_death(-9, 512 * 2**20).error.message == "killed by SIGKILL (likely out of memory; peak RSS 512 MiB)"
    assert outcome_of_death(3, 2000).error.message == "exited with code 3 (peak RSS 2 KiB)"
    assert outcome_of_death(-40, 0).error.message == "killed by signal 40 (peak RSS 0 B)"


def test_limits_are_told_in_units() -> None:
    outcome = over_memory(9_878_424_781, 8 * 2**30)
    assert (outcome.kind, outcome.error.message) == (Kind.OOM, "memory 9.2 GiB > 8 GiB limit")
    assert timed_out("etl", 90_000).error.message == "任务 etl 执行超时 (90秒)"
    assert [format_bytes(n) for n in (0, 1023, 1024, 1536, 5 * 2**20)] == ["0 B", "1023 B", "1 KiB", "1.5 KiB", "5 MiB"]


@given(st.lists(JSON, min_size=1, max_size=5), st.integers(1, 40))
def test_messages_arrive_whole_in_whatever_pieces(messages: list[Any], size: int) -> None:
    data = b"".join(map(pack, messages))
    buffer = LineBuffer()
    assert [message for start in range(0, len(data), size) for message in buffer.feed(data[start : start + size])] == messages


def test_a_line_without_an_end_is_refused() -> None:
    buffer = LineBuffer(limit=100)
    buffer.feed(b"x" * 100)
    with pytest.raises(ValueError, match="more than 100 bytes"):
        buffer.feed(b"x")


def test_only_named_variables_are_passed() -> None:
    given_ = {
        "PATH": "/bin",
        "AWS_SECRET_ACCESS_KEY": "s",
        "LC_ALL": "C",
        "CUDA_HOME": "/cuda",
        "no_proxy": "*",
        "SCHEDULER_REDIS_URL": "r",
    }
    assert passed_environment(given_, {"MY": "own"}) == {"PATH": "/bin", "LC_ALL": "C", "CUDA_HOME": "/cuda", "no_proxy": "*", "MY": "own"}
