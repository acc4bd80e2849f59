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
        # The idlest card first, then the emptiest: Runs spread out rather than share a card.
        fit = sorted((card for card in cards if not _objection(card, need)), key=lambda card: (card.utilization or 0.0, -card.free_mb))
        held: list[str] = []
        if len(fit) >= need.count:
            held = [card.uuid for card in fit[: need.count]]
            if self._reservations is not None:
                capacity_mb = {card.uuid: reservable_mb(card) for card in fit}
                held = self._reservations.reserve_gpu(run_id, capacity_mb, need.min_memory_mb, need.count)
        if held:
            return held
        raise GateClosedError(Reason.GPU_BUSY, RETRY_AFTER_MS, _refusal(need, cards, promised=len(fit) >= need.count))

    def release(self, run_id: str) -> None:
        if self._reservations is not None:
            self._reservations.release_gpu(run_id)


def reservable_mb(card: Card) -> int:
    """What all Runs together may reserve: the memory that processes which know nothing of reservations do not use."""
    return max(0, card.total_mb - sum(mb for _, mb in card.foreign))


def _objection(card: Card, need: GpuNeed) -> str:
    """Why ``card`` cannot take a Run with this ``need`` now; '' when it can. Unknown utilisation is no objection."""
    if card.free_mb < need.min_memory_mb:
        holders = ", ".join(f"process {pid} holds {_gb(mb)}" for pid, mb in card.foreign)
        return f"card {card.number} has {_gb(card.free_mb)} free" + (f" ({holders})" if holders else "")
    if need.max_utilization and (card.utilization or 0) >= need.max_utilization:
        return f"card {card.number} is {card.utilization:g} % busy"
    return ""


def _refusal(need: GpuNeed, cards: Sequence[Card], *, promised: bool) -> str:
    wants = f"needs {_gb(need.min_memory_mb) if need.min_memory_mb else 'a card'}"
    if need.max_utilization:
        wants += f" under {need.max_utilization:g} % utilisation"
    places = f"{need.count} cards" if need.count > 1 else "one card"
    reasons = list(filter(None, (_objection(card, need) for card in cards)))
    if promised:
        reasons.append("other Runs have reserved the rest")
    elif len(cards) < need.count:
        reasons.append(f"this host has {len(cards) or 'no'} usable card{'' if len(cards) == 1 else 's'}")
    return f"{wants} on {places}; {', '.join(reasons)}"


def _gb(mb: int) -> str:
    return f"{mb / 1024:.4g} GB"
