"""One attempt as a pipeline: layers that are entered and left, and what holds when it was told to stop."""

from random import Random
from typing import Any

import pytest

from scheduler.core.errors import GateClosedError
from scheduler.core.outcome import OK, Error, Kind, Outcome
from scheduler.core.run import Claim
from scheduler.core.states import Reason, State
from scheduler.core.task import GpuNeed, Task
from scheduler.worker import attempt as pipeline
from scheduler.worker.attempt import Attempt
from scheduler.worker.context import RunContext

TASK = Task(name="t", target="m:f", params={"a": 1, "b": 2})


class Layer:
    """Notes when it is passed; ``trouble`` is raised where it says."""

    def __init__(self, name: str, notes: list[str], **trouble: Exception) -> None:
        self.name, self.notes, self.trouble = name, notes, trouble

    def enter(self, job: Any) -> Any:
        self._pass("enter")
        return job._replace(env={**job.env, self.name: "1"})

    def leave(self, job: Any, outcome: Outcome) -> None:
        assert (job.env, outcome) == ({"outer": "1", "inner": "1"}, OK)
        self._pass("leave")

    def _pass(self, way: str) -> None:
        self.notes.append(f"{way} {self.name}")
        if way in self.trouble:
            raise self.trouble[way]


def claimed(task: Task = TASK, **facts: Any) -> Attempt:
    claim = {"id": "r1", "token": 4, "attempt": 2, "task": task.name, "params": "", "losses": 0, "crashes": 0, "scheduled_ms": None}
    return pipeline.prepare(Claim(**{**claim, **facts}), task)


def told(why: Kind, *, noticed: bool = False) -> Attempt:
    attempt = claimed()
    attempt.tell(Outcome(why))
    attempt.stop.noticed = noticed
    return attempt


def test_params_of_the_submit_win_over_the_tasks_own() -> None:
    assert claimed(params='{"b": 3, "c": 4}').job.params == {"a": 1, "b": 3, "c": 4}


@pytest.mark.parametrize(
    ("task", "losses", "fresh"),
    [
        (TASK, 0, False),
        (TASK, 1, False),
        (TASK, 2, True),
        (Task(name="t", target="m:f", isolation="fresh"), 0, True),
        (Task(name="t", target="m:f", gpu=GpuNeed()), 0, True),
    ],
)
def test_who_gets_a_fresh_process(task: Task, losses: int, fresh: bool) -> None:
    assert claimed(task, losses=losses).job.fresh is fresh


def test_layers_are_entered_inwards_and_left_outwards() -> None:
    attempt, notes = claimed(), list[str]()
    assert pipeline.enter(attempt, [Layer("outer", notes), Layer("inner", notes)]) is None
    pipeline.leave(attempt, OK)
    assert notes == ["enter outer", "enter inner", "leave inner", "leave outer"]


def test_a_layer_that_cannot_be_left_keeps_no_other_from_it(caplog: pytest.LogCaptureFixture) -> None:
    attempt, notes = claimed(), list[str]()
    pipeline.enter(attempt, [Layer("outer", notes), Layer("inner", notes, leave=ConnectionError("the store is away"))])
    pipeline.leave(attempt, OK)
    assert notes[2:] == ["leave inner", "leave outer"]
    assert caplog.messages == ["after r1: the store is away"]


@pytest.mark.parametrize(
    ("trouble", "outcome"),
    [
        (GateClosedError("gpu_busy", 1500), Outcome(Kind.GATED, reason="gpu_busy", retry_after_ms=1500)),
        (ConnectionError("away"), Outcome(Kind.GATED, reason=Reason.NOT_READY, retry_after_ms=1000)),
    ],
)
def test_an_attempt_that_cannot_be_begun_waits(trouble: Exception, outcome: Outcome) -> None:
    attempt, notes = claimed(), list[str]()
    assert pipeline.enter(attempt, [Layer("outer", notes), Layer("inner", notes, enter=trouble)]) == outcome
    assert [layer.name for layer in attempt.entered] == ["outer"]
    settled = pipeline.settlement(attempt, outcome, Random(1))
    assert (settled.state, settled.burn, settled.close_lane_ms) == (State.PENDING, False, outcome.retry_after_ms)


@pytest.mark.parametrize(
    ("why", "noticed", "own", "kind"),
    [
        (Kind.CANCELLED, False, Kind.OK, Kind.OK),
        (Kind.CANCELLED, True, Kind.OK, Kind.CANCELLED),
        (Kind.CANCELLED, False, Kind.ERROR, Kind.CANCELLED),
        (Kind.TIMED_OUT, False, Kind.OK, Kind.TIMED_OUT),
        (Kind.HANDED_BACK, False, Kind.OK, Kind.OK),
    ],
)
def test_what_holds_of_an_attempt_that_was_told_to_stop(why: Kind, noticed: bool, own: Kind, kind: Kind) -> None:
    assert pipeline.final(told(why, noticed=noticed), Outcome(own)).kind is kind


def test_the_first_reason_to_stop_holds() -> None:
    attempt = told(Kind.CANCELLED)
    attempt.tell(Outcome(Kind.TIMED_OUT))
    assert attempt.why == Outcome(Kind.CANCELLED)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(0), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_is_raised_becomes_an_outcome(error: BaseException) -> None:
    attempt = claimed()

    def run(**_: Any) -> None:
        raise error

    context = RunContext(attempt.job, lambda *_: None, attempt.stop)
    outcome = pipeline.call(attempt, run, context)
    assert (outcome.kind, outcome.error and outcome.error.type) == (Kind.ERROR, type(error).__name__)


def test_a_result_that_cannot_be_kept_is_a_success_with_its_reason() -> None:
    attempt = claimed()
    outcome = pipeline.call(attempt, lambda **_: {1, 2}, RunContext(attempt.job, lambda *_: None, attempt.stop))
    settled = pipeline.settlement(attempt, outcome, Random(1))
    assert (settled.state, settled.token, settled.result) == (State.SUCCEEDED, 4, "")
    assert '"type": "ResultError"' in settled.error


def test_the_error_is_kept_without_what_only_the_judge_needs() -> None:
    text = pipeline.error_json(Outcome(Kind.ERROR, error=Error("ValueError", "不行", "trace", ("ValueError",))))
    assert text == '{"type": "ValueError", "message": "不行", "traceback": "trace"}'
