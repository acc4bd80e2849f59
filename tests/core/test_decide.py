"""The judge: a table of what follows each end of an attempt, and what holds for every history."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.backoff import Backoff
from scheduler.core.decide import MAX_LOSSES, MAX_STRIKES, Decision, History, decide, gives_up
from scheduler.core.outcome import OK, Error, Kind, Outcome
from scheduler.core.states import TERMINAL, Reason, State
from scheduler.core.task import Task

ONCE = Task(name="once", target="m:f")
THRICE = Task(name="thrice", target="m:f", max_attempts=3, backoff=Backoff(interval_ms=10_000))
FAILURES = (Kind.ERROR, Kind.TIMED_OUT, Kind.CRASHED, Kind.OOM)


def raised(*bases: str) -> Outcome:
    return Outcome(Kind.ERROR, error=Error(bases[0], "no", bases=bases[1:]))


def judge(task: Task, outcome: Outcome, **history: Any) -> Decision:
    return decide(task, History(**{"attempt": 1, **history}), outcome, Random(1))


@pytest.mark.parametrize("task", [ONCE, THRICE])
@pytest.mark.parametrize(
    ("outcome", "decision"),
    [
        (OK, Decision(State.SUCCEEDED)),
        (Outcome(Kind.CANCELLED), Decision(State.CANCELLED, Reason.CANCELLED)),
        (Outcome(Kind.CANCELLED, reason="by hand"), Decision(State.CANCELLED, "by hand")),
        (Outcome(Kind.HANDED_BACK), Decision(State.PENDING, Reason.SHUTDOWN, burn=False)),
        (
            Outcome(Kind.GATED, reason=Reason.GPU_BUSY, retry_after_ms=2000),
            Decision(State.PENDING, Reason.GPU_BUSY, burn=False, close_lane_ms=2000),
        ),
        (Outcome(Kind.LOST), Decision(State.PENDING, Reason.LOST, burn=False, strike="loss")),
        (Outcome(Kind.REFUSED), Decision(State.FAILED, Reason.REFUSED)),
    ],
)
def test_what_does_not_depend_on_the_policy(task: Task, outcome: Outcome, decision: Decision) -> None:
    assert judge(task, outcome) == decision


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_is_retried_until_its_attempts_are_used_up(kind: Kind) -> None:
    strike = "crash" if kind is Kind.CRASHED else ""
    for attempt in (1, 2):
        assert judge(THRICE, Outcome(kind), attempt=attempt) == Decision(State.DELAYED, kind, 10_000, strike=strike)
    assert judge(THRICE, Outcome(kind), attempt=3) == Decision(State.DEAD, kind, strike=strike)


@pytest.mark.parametrize("kind", FAILURES)
def test_the_only_attempt_leaves_no_dead_letter(kind: Kind) -> None:
    assert judge(ONCE, Outcome(kind)).state is State.FAILED


def test_the_third_crash_is_poison_whatever_the_attempts() -> None:
    many = Task(name="many", target="m:f", max_attempts=100)
    crash = Outcome(Kind.CRASHED)
    assert [judge(many, crash, attempt=n + 1, crashes=n).state for n in range(3)] == [State.DELAYED, State.DELAYED, State.DEAD]
    assert judge(many, crash, attempt=3, crashes=2).reason == Reason.POISON
    assert judge(many, crash, losses=2).reason == Reason.POISON  # it cost two workers, and now the process it was given alone


def test_losses_alone_end_a_run_at_the_tenth_only_and_wait_longer_each_time() -> None:
    decisions = [judge(ONCE, Outcome(Kind.LOST), losses=losses) for losses in range(MAX_LOSSES)]
    assert [decision.delay_ms for decision in decisions[:5]] == [0, 1000, 2000, 4000, 8000]
    assert [decision.state for decision in decisions] == [State.PENDING, *[State.DELAYED] * (MAX_LOSSES - 2), State.DEAD]
    assert not any(decision.burn for decision in decisions)


@pytest.mark.parametrize(
    ("error", "policy", "final"),
    [
        (("ValueError", "Exception"), {}, False),
        (("FatalError", "Exception"), {}, True),
        (("MyFatal", "FatalError"), {"retry_on": ("MyFatal",)}, True),
        (("RetryableError",), {"give_up_on": ("RetryableError",)}, False),
        (("ConnectionError", "OSError"), {"retry_on": ("OSError",)}, False),
        (("KeyError", "LookupError"), {"retry_on": ("OSError",)}, True),
        (("KeyError", "LookupError"), {"give_up_on": ("LookupError",)}, True),
        (("KeyError", "LookupError"), {"retry_on": ("KeyError",), "give_up_on": ("LookupError",)}, True),
    ],
)
def test_which_errors_are_final(error: tuple[str, ...], policy: dict[str, tuple[str, ...]], final: bool) -> None:
    task = Task(name="t", target="m:f", max_attempts=2, **policy)
    assert judge(task, raised(*error)).state is (State.FAILED if final else State.DELAYED)
    assert gives_up(set(error), policy.get("retry_on", ()), policy.get("give_up_on", ())) is final


@given(
    task=st.builds(
        Task,
        name=st.just("t"),
        target=st.just("m:f"),
        max_attempts=st.integers(1, 5),
        backoff=st.builds(
            Backoff,
            interval_ms=st.integers(0, 10**6),
            strategy=st.sampled_from(["fixed", "linear", "exponential"]),
            jitter=st.sampled_from(["none", "full", "equal"]),
        ),
    ),
    history=st.builds(History, attempt=st.integers(1, 5), losses=st.integers(0, MAX_LOSSES - 1), crashes=st.integers(0, MAX_STRIKES - 1)),
    outcome=st.builds(Outcome, kind=st.sampled_from(Kind), retry_after_ms=st.integers(0, 10**6)),
    seed=st.integers(),
)
def test_every_history_leads_to_a_state_that_makes_sense(task: Task, history: History, outcome: Outcome, seed: int) -> None:
    decision = decide(task, history, outcome, Random(seed))
    assert decision == decide(task, history, outcome, Random(seed))
    assert decision.state in TERMINAL | {State.PENDING, State.DELAYED}
    assert (decision.state is State.SUCCEEDED) is (outcome.kind is Kind.OK)
    assert decision.delay_ms == 0 or decision.state is State.DELAYED
    assert decision.burn is not (outcome.kind in (Kind.LOST, Kind.HANDED_BACK, Kind.GATED))
    if outcome.kind in FAILURES and history.attempt >= task.max_attempts:
        assert decision.state in TERMINAL
