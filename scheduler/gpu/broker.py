"""Which cards a Run gets: measured memory and utilisation are a veto, the reservation decides."""

from collections.abc import Sequence

from scheduler.core.errors import GateClosedError
from scheduler.core.ports import Card, Inventory, Reservations
from scheduler.core.states import Reason
from scheduler.core.task import GpuNeed

RETRY_AFTER_MS = 2_000


class Broker:
    """Reserves cards of this host. Without ``reservations`` it only measures: good for one process, blind to a race."""

    def __init__(self, inventory: Inventory, reservations: Reservations | None = None) -> None:
        self._inventory, self._reservations = inventory, reservations

    def reserve(self, run_id: str, need: GpuNeed) -> list[str]:
        """UUIDs of ``need.count`` cards, all or none; GateClosedError (``gpu_busy``) says what is missing where."""
        cards = self._inventory.cards()
        fit = sorted((card for card in cards if objection(card, need) is None), key=_load)
        if len(fit) < need.count:
            raise _closed(need, cards, "")
        if self._reservations is None:
            return [card.uuid for card in fit[: need.count]]
        capacity_mb = {card.uuid: reservable_mb(card) for card in fit}
        held = self._reservations.reserve_gpu(run_id, capacity_mb, need.min_memory_mb, need.count)
        if not held:
            raise _closed(need, cards, "other Runs have reserved the rest")
        return held

    def release(self, run_id: str) -> None:
        if self._reservations is not None:
            self._reservations.release_gpu(run_id)


def objection(card: Card, need: GpuNeed) -> str | None:
    """Why ``card`` cannot take a Run with this ``need`` now, in words; None when it can. Unknown utilisation is no objection."""
    if card.free_mb < need.min_memory_mb:
        holders = ", ".join(f"process {pid} holds {_gb(mb)}" for pid, mb in card.foreign)
        return f"card {card.number} has {_gb(card.free_mb)} free" + (f" ({holders})" if holders else "")
    if need.max_utilization and card.utilization is not None and card.utilization >= need.max_utilization:
        return f"card {card.number} is {card.utilization:g} % busy"
    return None


def reservable_mb(card: Card) -> int:
    """What all Runs together may reserve: the memory that processes which know nothing of reservations do not use."""
    return max(0, card.total_mb - sum(mb for _, mb in card.foreign))


def _load(card: Card) -> tuple[float, int]:
    """The idlest card first, then the emptiest: Runs spread out rather than share a card."""
    return card.utilization or 0.0, -card.free_mb


def _closed(need: GpuNeed, cards: Sequence[Card], more: str) -> GateClosedError:
    wants = [f"needs {_gb(need.min_memory_mb)}"] if need.min_memory_mb else ["needs a card"]
    if need.max_utilization:
        wants.append(f"under {need.max_utilization:g} % utilisation")
    places = f"on {need.count} cards" if need.count > 1 else "on one card"
    reasons = [words for card in cards if (words := objection(card, need))]
    if more:
        reasons.append(more)
    elif len(cards) < need.count:
        reasons.append(f"this host has {len(cards) or 'no'} usable card{'' if len(cards) == 1 else 's'}")
    return GateClosedError(Reason.GPU_BUSY, RETRY_AFTER_MS, f"{' '.join(wants)} {places}; {', '.join(reasons)}")


def _gb(mb: int) -> str:
    return f"{mb / 1024:.4g} GB"
