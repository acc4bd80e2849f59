import json
from typing import Any

import pytest

from scheduler.core.outcome import OK, Kind
from scheduler.core.ports import Job


@pytest.mark.parametrize(
    "value",
    [{"a": 1}, [1, 2.5, None, True], "text 长 😀", 0, False, "", {"nested": [{"x": "\x00\n"}]}, 12345678901234567890],
)
def test_json_comes_back_as_it_was(bench: Any, value: Any) -> None:
    outcome = bench.run("tame:echo", {"value": value})
    assert (outcome.kind, outcome.error) == (Kind.OK, None)
    assert json.loads(outcome.result) == {"value": value}


def test_no_result_is_an_empty_text(bench: Any) -> None:
    outcome = bench.run("tame:nothing")
    assert (outcome.kind, outcome.result, outcome.error) == (OK.kind, "", None)
    assert outcome.duration_ms > 0


RESULTS = [
    *("lock", "nan", "infinity", "bytes", "set", "circular", "lone surrogate", "surrogate key", "deep", "complex", "object", "class"),
    *("no repr", "broken dict", "tuple key", "generator", "function", "exception", "path", "file", "huge text"),
    *("huge text of 3 byte letters", "huge list", "memoryview"),
]


@pytest.mark.parametrize("name", RESULTS)
def test_what_is_no_json_leaves_a_success_and_a_note(bench: Any, name: str) -> None:
    outcome = bench.run("hostile:result", {"name": name})
    assert (outcome.kind, outcome.result) == (Kind.OK, "")
    assert outcome.error.type == "ResultError"
    assert "run() returned" in outcome.error.message
    assert len(outcome.error.message.encode()) <= 4096


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("two", "TwoArgumentsError", "(1, 2)"),
        ("no_text", "NoTextError", "<the message cannot be shown: RuntimeError>"),
        ("interrupt", "KeyboardInterrupt", "not from a keyboard"),
        ("generator", "GeneratorExit", ""),
        ("base", "BaseException", "bare"),
        ("memory", "MemoryError", ""),
        ("surrogate", "ValueError", "\\ud800 lone"),
    ],
)
def test_whatever_is_raised_is_an_error_of_the_run(bench: Any, name: str, kind: str, message: str) -> None:
    outcome = bench.run("hostile:raise_named", {"name": name})
    assert (outcome.kind, outcome.error.type, outcome.error.message) == (Kind.ERROR, kind, message)
    assert outcome.error.bases[0] == kind
    assert outcome.error.bases[-1] == "BaseException"
    assert 'hostile.py", line' in outcome.error.traceback
    assert "scheduler" not in outcome.error.traceback


def test_a_huge_message_is_cut(bench: Any) -> None:
    error = bench.run("hostile:raise_named", {"name": "huge"}).error
    assert len(error.message.encode()) == 4096
    assert len(error.traceback.encode()) <= 32 * 1024
    assert error.traceback.startswith("Traceback")


def test_endless_recursion_is_an_error(bench: Any) -> None:
    outcome = bench.run("hostile:recurse")
    assert (outcome.kind, outcome.error.type) == (Kind.ERROR, "RecursionError")
    assert len(outcome.error.traceback) <= 32 * 1024


@pytest.mark.parametrize(
    ("code", "message"),
    [(0, "task called exit(0)"), (3, "task called exit(3)"), ("bye", "task called exit('bye')"), (None, "task called exit(None)")],
)
def test_sys_exit_fails_the_run_and_spares_the_process(bench: Any, code: Any, message: str) -> None:
    outcome = bench.run("hostile:exit_with", {"code": code})
    assert (outcome.kind, outcome.error.type, outcome.error.message) == (Kind.ERROR, "SystemExit", message)


def test_a_closed_gate_is_no_failure(bench: Any) -> None:
    outcome = bench.run("tame:gate")
    assert (outcome.kind, outcome.reason, outcome.retry_after_ms) == (Kind.GATED, "gpu_busy", 1500)


def test_a_broken_plugin_is_refused(bench: Any) -> None:
    outcome = bench.run("tame:refused")
    assert (outcome.kind, outcome.error.message) == (Kind.REFUSED, "plugins/refused.py: no such thing")


def test_wrong_params_are_an_error_without_our_frames(bench: Any) -> None:
    error = bench.run("tame:nap", {"second": 1}).error
    assert error.type == "TypeError"
    assert "unexpected keyword argument 'second'" in error.message
    assert "scheduler" not in error.traceback


def test_a_target_that_cannot_be_imported_is_an_error(bench: Any) -> None:
    assert bench.run("nowhere:at_all").error.type == "ModuleNotFoundError"


def test_a_resolver_that_cannot_be_opened_ends_each_run(make_bench: Any) -> None:
    bench = make_bench(plugins="/no/such/folder")
    assert [bench.run("tame:nothing").error.type for _ in range(2)] == ["NotADirectoryError"] * 2


def test_coroutines_run_to_their_end(bench: Any) -> None:
    assert json.loads(bench.run("tame:coroutine", run="the-id").result) == "the-id"


def test_the_run_knows_who_it_is(bench: Any) -> None:
    seen = json.loads(
        bench.run("tame:context", run="me", attempt=3, max_attempts=5, token=9, env={"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"}).result
    )
    assert seen == {"id": "me", "task": "a_task", "attempt": 3, "token": 9, "gpu": ["GPU-a", "GPU-b"], "stop": False, "of": [3, 5]}


def test_progress_is_reported_and_its_last_word_is_not_lost(bench: Any) -> None:
    bench.run("tame:progress", {"steps": 2000}, run="steps")
    reports = bench.progress["steps"]
    assert reports[0] == (0, "step 0")
    assert reports[-1] == (100, "step 2000")
    assert len(reports) < 1000


def test_params_that_are_no_json_are_the_callers_mistake(bench: Any) -> None:
    with pytest.raises(TypeError):
        bench.start("tame:echo", {"value": object()})


def test_a_large_job_arrives_whole(bench: Any) -> None:
    """More than a socket holds, in both directions as far as a result may go."""
    assert len(bench.run("tame:echo", {"text": "x" * 250_000}).result) == 250_000 + len('{"text":""}')
    assert bench.run("tame:size", {"values": ["x" * 1000] * 3000}).result == "3000"


def test_what_a_job_is_made_of_travels_by_position() -> None:
    """The child rebuilds it with ``Job(*message)``."""
    job = Job("r", "t", "m:f", {"a": 1}, 1, 2, None, None, None, False, {})
    assert Job(*json.loads(json.dumps(job))) == job
