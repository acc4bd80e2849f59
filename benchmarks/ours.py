"""The scheduling centre as one more measured system: same protocol, same no-op, same server."""

from peer import Peer

OURS: tuple[Peer, ...] = ()
