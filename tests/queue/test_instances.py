"""attend, leave: who is there, with which configuration, and whether the store still knows it."""

import logging
from typing import Any

import pytest

from scheduler.queue.instances import ATTEND_S, LIVING_MS, Instances

ROUND_MS = round(ATTEND_S * 1000)


class Present:
    """An instance whose clock is the lab's."""

    def __init__(self, lab: Any, name: str, configuration: str = "") -> None:
        self.told = 0
        self.instances = Instances(lab.queue, name, self.tell, clock=lambda: lab.now / 1000)
        self.instances.configuration = configuration

    def tell(self) -> None:
        self.told += 1

    def step(self) -> list[str]:
        self.instances.step()
        return self.instances.differing


@pytest.fixture
def come(lab: Any) -> Any:
    return lambda name, configuration="": Present(lab, name, configuration)


def test_it_shows_that_it_is_there_every_other_second(lab: Any, come: Any) -> None:
    a = come("a", "abc")
    a.step()
    lab.pass_ms(ROUND_MS - 1)
    a.step()
    assert lab.state() == {"instances": {"a": f"{lab.NOW} abc"}}
    lab.pass_ms(1)
    a.step()
    assert lab.state() == {"instances": {"a": f"{lab.now} abc"}}
    a.instances.leave()
    assert lab.state() == {}


def test_each_is_told_once_of_another_that_is_there_with_another_configuration(lab: Any, come: Any, caplog: Any) -> None:
    a, same, timerless, b = come("a", "aa"), come("same", "aa"), come("timerless"), come("b", "bb")
    for _ in range(3):
        found = [instance.step() for instance in (a, same, timerless, b)]
        lab.pass_ms(ROUND_MS)
    assert found == [["b"], ["b"], [], ["a", "same"]]
    assert sorted(record.getMessage().partition(":")[0] for record in caplog.records) == [
        "a has another configuration than b",
        "b has another configuration than a",
        "b has another configuration than same",
        "same has another configuration than b",
    ]


@pytest.mark.parametrize("left", [True, False])
def test_who_left_or_was_not_heard_of_for_long_differs_no_more(lab: Any, come: Any, left: bool) -> None:
    a, b = come("a", "aa"), come("b", "bb")
    a.step()
    assert b.step() == ["a"]
    if left:
        a.instances.leave()
    lab.pass_ms(ROUND_MS if left else LIVING_MS)
    assert b.step() == []


def test_what_the_store_has_lost_is_told_again_until_it_is_there(lab: Any, come: Any, caplog: Any, monkeypatch: Any) -> None:
    a = come("a")
    a.step()
    lab.client.flushdb()
    lab.pass_ms(ROUND_MS)
    with monkeypatch.context() as patch:
        patch.setattr(a.instances, "_tell", lambda: (_ for _ in ()).throw(ConnectionError("away")))
        with pytest.raises(ConnectionError):
            a.step()
    for _ in range(3):
        lab.pass_ms(ROUND_MS)
        a.step()
    assert a.told == 1
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "the store has lost what it was told by a" in caplog.text


def test_an_outage_is_no_loss_and_an_hour_ends_the_memory(lab: Any, come: Any) -> None:
    a, b = come("a"), come("b")
    a.step()
    b.step()
    lab.pass_ms(3_600_000)
    a.step()
    b.step()
    assert (a.told, b.told) == (0, 0)
    lab.pass_ms(3_600_001)
    a.step()
    assert list(lab.state()["instances"]) == ["a"]


def test_garbage_among_the_instances_is_nobody(lab: Any, come: Any) -> None:
    a = come("a", "aa")
    lab.client.hset(lab.key("instances"), mapping={"x": "garbage", "y": f"{lab.now} no digest"})
    assert a.step() == []
    assert list(lab.state()["instances"]) == ["a"]
