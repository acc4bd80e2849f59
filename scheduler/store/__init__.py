"""The live store: reaching it by URL, running the embedded one, and refusing a server that could lose or evict Runs."""

from scheduler.store.store import Store, open_store

__all__ = ["Store", "open_store"]
