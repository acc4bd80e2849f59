"""The leader lock, seen from the instances that want it."""

import logging
from typing import Any

import pytest

from scheduler.timing import Leader


@pytest.fixture
def rivals(world: Any) -> tuple[Leader, Leader]:
    return tuple(Leader(world.book, name, clock=lambda: world.monotonic) for name in "ab")  # type: ignore[return-value]  # two letters


def test_one_leads_and_renews_each_third_of_the_lease(world: Any, rivals: tuple[Leader, Leader]) -> None:
    leader, standby = rivals
    assert (leader.step(), leader.epoch) == (2.0, 1)
    assert (standby.step(), standby.epoch) == (0.5, 0)
    for _ in range(60):
        world.pass_ms(500)
        leader.step()
        standby.step()
    assert (leader.epoch, standby.epoch) == (1, 0)


def test_belief_ends_a_second_before_the_lease(world: Any, rivals: tuple[Leader, Leader]) -> None:
    leader, standby = rivals
    leader.step()
    world.pass_ms(4999)
    assert leader.epoch == 1
    world.pass_ms(1)
    assert leader.epoch == 0
    standby.step()
    assert standby.epoch == 0
    world.pass_ms(1000)
    standby.step()
    assert (standby.epoch, standby.takeover_ms) == (2, 6000)


def test_belief_counts_from_the_moment_of_asking(world: Any) -> None:
    class SlowStore:
        def elect(self, instance: str, lease_ms: int) -> Any:
            answer = world.book.elect(instance, lease_ms)
            world.pass_ms(3000)
            return answer

    leader = Leader(SlowStore(), "a", clock=lambda: world.monotonic)  # type: ignore[arg-type]  # all it needs
    leader.step()
    world.pass_ms(1999)
    assert leader.epoch == 1
    world.pass_ms(1)
    assert leader.epoch == 0


def test_after_a_death_a_standby_leads_within_seven_seconds(world: Any, rivals: tuple[Leader, Leader]) -> None:
    dead, standby = rivals
    dead.step()
    standby.step()
    waited_ms = 0
    while not standby.epoch:
        world.pass_ms(100)
        waited_ms += 100
        standby.step()
    assert 6000 <= waited_ms <= 6500
    assert standby.takeover_ms == waited_ms


def test_after_a_resignation_a_standby_leads_within_a_second(world: Any, rivals: tuple[Leader, Leader]) -> None:
    leader, standby = rivals
    leader.step()
    standby.step()
    world.pass_ms(200)
    leader.resign()
    assert leader.epoch == 0
    world.pass_ms(300)
    standby.step()
    assert (standby.epoch, standby.takeover_ms) == (2, 300)


def test_any_error_means_not_leader_and_is_told_once(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    store = world.bad_line()
    leader = Leader(store, "a", clock=lambda: world.monotonic, on_gain=lambda: told.append("gain"), on_loss=lambda: told.append("loss"))
    leader.step()
    store.methods = {"elect"}
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            world.pass_ms(500)
            leader.step()
    assert leader.epoch == 0
    assert [record.getMessage() for record in caplog.records] == [
        "a leads no longer (epoch 1): the store did not answer: the reply of elect was lost"
    ]
    store.methods = set()
    world.pass_ms(500)
    leader.step()
    assert (leader.epoch, told) == (1, ["gain", "loss", "gain"])


def test_a_paused_leader_learns_that_another_leads(world: Any, rivals: tuple[Leader, Leader], caplog: pytest.LogCaptureFixture) -> None:
    paused, other = rivals
    paused.step()
    world.pass_ms(18_000)
    other.step()
    with caplog.at_level(logging.INFO):
        paused.step()
    assert (paused.epoch, other.epoch) == (0, 2)
    assert "the lease could not be renewed in time" in caplog.text


def test_a_lock_taken_by_force_is_noticed_with_the_next_renewal(world: Any, rivals: tuple[Leader, Leader]) -> None:
    robbed, thief = rivals
    robbed.step()
    world.client.delete(f"{world.queue.prefix}lead")
    thief.step()
    assert (robbed.epoch, thief.epoch) == (1, 2)
    world.pass_ms(2000)
    robbed.step()
    assert (robbed.epoch, thief.epoch) == (0, 2)


def test_a_lock_that_was_lost_and_won_again_is_another_leadership(world: Any) -> None:
    told: list[str] = []
    leader = Leader(
        world.book, "a", clock=lambda: world.monotonic, on_gain=lambda: told.append("gain"), on_loss=lambda: told.append("loss")
    )
    leader.step()
    world.client.delete(f"{world.queue.prefix}lead")
    world.pass_ms(2000)
    assert leader.step() == 2.0
    assert (leader.epoch, told) == (2, ["gain", "loss", "gain"])


def test_resigning_while_the_store_is_away_is_no_error(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    store = world.bad_line()
    leader = Leader(store, "a", clock=lambda: world.monotonic)
    leader.step()
    store.methods = {"resign"}
    leader.resign()
    assert leader.epoch == 0
    assert "its lease will end by itself" in caplog.text
