from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.errors import GateClosedError
from scheduler.core.ports import Card
from scheduler.core.task import GpuNeed
from scheduler.gpu.broker import RETRY_AFTER_MS, Broker, reservable_mb

GB = 1024


def card(number: int, free_gb: float, utilization: float | None = 0.0, foreign: tuple[tuple[int, int], ...] = ()) -> Card:
    return Card(f"GPU-{number}", number, "H100", 80 * GB, round(free_gb * GB), utilization, foreign)


class Host:
    def __init__(self, *cards: Card) -> None:
        self.measured = list(cards)

    def cards(self) -> list[Card]:
        return list(self.measured)


class Ledger:
    """The reservations of all instances, in memory: the same port as the store's."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, int]] = {}

    def reserve_gpu(self, run_id: str, capacity_mb: Mapping[str, int], need_mb: int, count: int) -> list[str]:
        if run_id in self.held:
            return list(self.held[run_id])
        fit = [uuid for uuid, capacity in capacity_mb.items() if self.reserved(uuid) + need_mb <= capacity][:count]
        if len(fit) < count:
            return []
        self.held[run_id] = dict.fromkeys(fit, need_mb)
        return fit

    def release_gpu(self, run_id: str) -> None:
        self.held.pop(run_id, None)

    def reserved(self, uuid: str) -> int:
        return sum(cards.get(uuid, 0) for cards in self.held.values())


def test_the_idlest_card_then_the_emptiest() -> None:
    host = Host(card(0, 80, 50), card(1, 40, 10), card(2, 70, 10), card(3, 60, None))
    assert Broker(host, Ledger()).reserve("r", GpuNeed(GB, count=4)) == ["GPU-3", "GPU-2", "GPU-1", "GPU-0"]


def test_a_race_for_the_same_free_memory_is_lost_by_the_second() -> None:
    broker = Broker(Host(card(0, 80)), Ledger())
    assert broker.reserve("first", GpuNeed(50 * GB)) == ["GPU-0"]
    with pytest.raises(
        GateClosedError, match=r"^needs 50 GB on one card; other Runs have reserved the rest$"
    ) as closed:  # 80 are still free
        broker.reserve("second", GpuNeed(50 * GB))
    assert (closed.value.reason, closed.value.retry_after_ms) == ("gpu_busy", RETRY_AFTER_MS)
    broker.release("first")
    assert broker.reserve("second", GpuNeed(50 * GB)) == ["GPU-0"]


def test_the_same_run_gets_what_it_holds() -> None:
    broker = Broker(Host(card(0, 80), card(1, 80)), Ledger())
    assert broker.reserve("r", GpuNeed(10 * GB, count=2)) == broker.reserve("r", GpuNeed(10 * GB, count=2))


def test_all_or_nothing() -> None:
    ledger = Ledger()
    broker = Broker(Host(card(0, 80), card(1, 80)), ledger)
    broker.reserve("small", GpuNeed(50 * GB))
    with pytest.raises(GateClosedError, match="needs 50 GB on 2 cards"):
        broker.reserve("large", GpuNeed(50 * GB, count=2))
    assert list(ledger.held) == ["small"]


def test_measured_memory_is_a_veto_and_names_who_holds_it() -> None:
    broker = Broker(Host(card(0, 9.1, foreign=((4711, 70 * GB),)), card(1, 11.9)), Ledger())
    with pytest.raises(
        GateClosedError,
        match=r"^needs 12 GB on one card; card 0 has 9.1 GB free \(process 4711 holds 70 GB\), card 1 has 11.9 GB free$",
    ):
        broker.reserve("r", GpuNeed(12 * GB))


def test_utilisation_admits_below_only_and_unknown_passes() -> None:
    need = GpuNeed(max_utilization=20)
    assert Broker(Host(card(0, 80, 19.9))).reserve("r", need) == ["GPU-0"]
    assert Broker(Host(card(0, 80, None))).reserve("r", need) == ["GPU-0"]
    with pytest.raises(GateClosedError, match=r"^needs a card under 20 % utilisation on one card; card 0 is 20 % busy$"):
        Broker(Host(card(0, 80, 20.0))).reserve("r", need)


def test_no_condition_fits_any_card() -> None:
    assert Broker(Host(card(0, 0, 100.0)), Ledger()).reserve("r", GpuNeed()) == ["GPU-0"]


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ((), "this host has no usable cards"),
        ((card(0, 80),), "this host has 1 usable card"),
        ((card(0, 80), card(1, 80)), "this host has 2 usable cards"),
    ],
)
def test_too_few_cards(cards: tuple[Card, ...], words: str) -> None:
    with pytest.raises(GateClosedError, match=f"needs 4 GB on 3 cards; {words}$"):
        Broker(Host(*cards), Ledger()).reserve("r", GpuNeed(4 * GB, count=3))


def test_what_foreign_processes_use_cannot_be_reserved() -> None:
    shared = card(0, 60, foreign=((7, 15 * GB), (8, 5 * GB)))
    assert reservable_mb(shared) == 60 * GB
    broker = Broker(Host(shared), Ledger())
    broker.reserve("ours", GpuNeed(30 * GB))  # not allocated yet: 60 GB still measure as free
    with pytest.raises(GateClosedError, match="other Runs have reserved the rest"):
        broker.reserve("next", GpuNeed(40 * GB))  # 20 + 30 + 40 > 80
    assert reservable_mb(card(0, 0, foreign=((7, 90 * GB),))) == 0


def test_measuring_alone_reserves_and_releases_nothing() -> None:
    broker = Broker(Host(card(0, 80), card(1, 70)))
    assert broker.reserve("a", GpuNeed(50 * GB)) == broker.reserve("b", GpuNeed(50 * GB)) == ["GPU-0"]
    broker.release("a")


STEPS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 50), st.integers(1, 3), st.integers(0, 40), st.booleans()), max_size=40)


@given(STEPS)
def test_reservations_never_exceed_a_card(steps: list[tuple[int, int, int, int, bool]]) -> None:
    ledger = Ledger()
    host = Host()
    broker = Broker(host, ledger)
    for run, need_gb, count, foreign_gb, release in steps:
        host.measured = [card(number, 80 - foreign_gb, foreign=((9, foreign_gb * GB),)) for number in range(3)]
        room = [80 * GB - foreign_gb * GB - ledger.reserved(f"GPU-{number}") for number in range(3)]
        held = ledger.held.get(str(run))
        if release:
            broker.release(str(run))
            assert str(run) not in ledger.held
            continue
        try:
            got = broker.reserve(str(run), GpuNeed(need_gb * GB, count=count))
        except GateClosedError:
            # Closed only where it must be: too little is free now, or the cards are promised to others.
            assert need_gb > 80 - foreign_gb or (held is None and sum(each >= need_gb * GB for each in room) < count)
        else:
            assert list(ledger.held[str(run)]) == got
            assert held is not None or (len(set(got)) == count and all(room[int(uuid[-1])] >= need_gb * GB for uuid in got))
