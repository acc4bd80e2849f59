"""reserve_gpu and release_gpu: never more memory than there is, freed whenever a Run ends or goes back."""

from random import Random
from typing import Any

import pytest

from scheduler.core.run import Settlement
from scheduler.core.states import State


def start(lab: Any, *runs: str) -> None:
    lab.enroll()
    lab.submit(*runs)
    assert lab.take(len(runs)) == list(runs)


def test_a_card_is_reserved_with_the_run(lab: Any) -> None:
    start(lab, "r1")
    before = lab.state()
    assert lab.queue.reserve_gpu("r1", {"A": 1000, "B": 1000}, 600, 1) == ["A"]
    assert lab.changes(before) == {"gpu:A": {"r1": "600"}, "r:r1": {**before["r:r1"], "gpu": "A"}}


def test_asking_twice_gets_the_same(lab: Any) -> None:
    start(lab, "r1")
    lab.queue.reserve_gpu("r1", {"A": 1000, "B": 1000}, 600, 2)
    before = lab.state()
    assert lab.queue.reserve_gpu("r1", {"C": 1000, "D": 1000}, 900, 1) == ["A", "B"]
    assert lab.changes(before) == {}


def test_what_does_not_fit_gets_nothing(lab: Any) -> None:
    start(lab, "r1", "r2", "r3")
    assert lab.queue.reserve_gpu("r1", {"A": 1000, "B": 1000}, 600, 2) == ["A", "B"]
    before = lab.state()
    assert lab.queue.reserve_gpu("r2", {"A": 1000, "B": 1000}, 600, 1) == []
    assert lab.queue.reserve_gpu("r2", {"A": 1000, "C": 1000}, 600, 2) == []
    assert lab.queue.reserve_gpu("r2", {}, 0, 1) == []
    assert lab.changes(before) == {}
    assert lab.queue.reserve_gpu("r2", {"A": 1000, "B": 1000}, 400, 2) == ["A", "B"]
    assert lab.queue.reserve_gpu("r3", {"A": 1000}, 0, 1) == ["A"]


def test_only_a_running_run_may_hold_a_card(lab: Any) -> None:
    lab.submit("r1")
    assert lab.queue.reserve_gpu("r1", {"A": 1000}, 1, 1) == []
    assert lab.queue.reserve_gpu("ghost", {"A": 1000}, 1, 1) == []


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.DEAD, State.DELAYED, State.PENDING])
def test_every_end_of_an_attempt_frees_the_card(lab: Any, state: Any) -> None:
    start(lab, "r1", "r2")
    lab.queue.reserve_gpu("r1", {"A": 1000, "B": 1000}, 600, 2)
    lab.queue.reserve_gpu("r2", {"A": 1000}, 300, 1)
    lab.settle("r1", state)
    cards = {name: value for name, value in lab.state().items() if name.startswith("gpu:")}
    assert cards == {"gpu:A": {"r2": "300"}}
    assert "gpu" not in lab.record("r1")


def test_a_second_attempt_reserves_anew(lab: Any) -> None:
    start(lab, "r1")
    lab.queue.reserve_gpu("r1", {"A": 1000}, 600, 1)
    lab.settle("r1", State.PENDING)
    lab.submit("r2")
    assert lab.take(2) == ["r1", "r2"]
    assert lab.queue.reserve_gpu("r2", {"A": 1000}, 600, 1) == ["A"]
    assert lab.queue.reserve_gpu("r1", {"A": 1000}, 600, 1) == []


def test_a_rescue_frees_the_card(lab: Any) -> None:
    start(lab, "r1")
    lab.queue.reserve_gpu("r1", {"A": 1000}, 600, 1)
    lab.queue.abandon("w")
    lab.queue.settle([Settlement("r1", 1, State.PENDING, "lost")])
    assert "gpu:A" not in lab.state()


def test_a_release_is_harmless_when_nothing_is_held(lab: Any) -> None:
    start(lab, "r1")
    before = lab.state()
    lab.queue.release_gpu("r1")
    lab.queue.release_gpu("ghost")
    lab.queue.reserve_gpu("r1", {"A": 1000, "B": 500}, 500, 2)
    lab.queue.release_gpu("r1")
    lab.queue.release_gpu("r1")
    assert lab.changes(before) == {}


def test_the_sum_on_a_card_never_exceeds_its_capacity(lab: Any) -> None:
    random, capacity = Random(4), {"A": 1000, "B": 700, "C": 300}
    runs = [f"r{number:02}" for number in range(12)]
    start(lab, *runs)
    granted = 0
    for _ in range(300):
        run, card = random.choice(runs), list(capacity.items())
        random.shuffle(card)
        if random.random() < 0.4:
            lab.queue.release_gpu(run)
        else:
            granted += bool(lab.queue.reserve_gpu(run, dict(card), random.choice([100, 250, 500, 700]), random.choice([1, 1, 2])))
        held = {name: sum(map(int, mb.values())) for name, mb in lab.state().items() if name.startswith("gpu:")}
        assert all(total <= capacity[name.removeprefix("gpu:")] for name, total in held.items())
    assert granted > 50
