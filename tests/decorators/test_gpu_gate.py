import asyncio
from typing import Any

import pytest

from scheduler.core.errors import GateClosedError
from scheduler.core.marks import marks_of
from scheduler.core.ports import Card
from scheduler.decorators import gpu_gate


class Cards:
    """An inventory whose cards the test sets."""

    def __init__(self, *free_gb: float) -> None:
        self.free_gb = free_gb

    def cards(self) -> list[Card]:
        return [Card(f"GPU-{n}", n, "H100", 81920, round(gb * 1024), 5.0) for n, gb in enumerate(self.free_gb)]


def test_opens_when_a_card_has_room() -> None:
    host = Cards(2, 9.1)
    gated = gpu_gate(min_memory_gb=8, inventory=host)(lambda: "trained")
    assert gated() == "trained"
    host.free_gb = (2, 7.5)
    with pytest.raises(GateClosedError, match=r"needs 8 GB on one card; card 0 has 2 GB free, card 1 has 7.5 GB free") as closed:
        gated()
    assert (closed.value.reason, closed.value.retry_after_ms) == ("gpu_busy", 2000)


def test_coroutines_too() -> None:
    @gpu_gate(count=2, inventory=Cards(1))
    async def train() -> None: ...

    with pytest.raises(GateClosedError, match="needs a card on 2 cards; this host has 1 usable card"):
        asyncio.run(train())


def test_the_need_is_marked_as_in_the_task_file() -> None:
    @gpu_gate(min_memory_gb=4, max_utilization=20, count=2)
    def train() -> None: ...

    assert marks_of(train) == {"gpu": {"min_memory_gb": 4, "max_utilization": 20, "count": 2}}
    assert train.__name__ == "train"


def test_the_hosts_own_cards_are_the_default() -> None:
    @gpu_gate(min_memory_gb=10**6)
    def train() -> None: ...

    with pytest.raises(GateClosedError, match="needs 1e\\+06 GB on one card"):
        train()


@pytest.mark.parametrize(
    ("need", "message"),
    [
        ({"min_memory_gb": -1}, "gpu_gate: min_memory_gb: -1 is not a number from 0"),
        ({"max_utilization": 120}, "gpu_gate: max_utilization: 120 is not a number from 0 to 100"),
        ({"count": 0}, "gpu_gate: count: 0 is not a whole number from 1"),
    ],
)
def test_a_wrong_need_is_named(need: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gpu_gate(**need)
