"""What one client may take of the manager's time, so that the others are answered too."""

import math
import time
from collections import Counter

from lmaps.api.registry import ManagerState
from lmaps.errors import Busy
from lmaps.transport.zap import Peer

RETRY_AFTER_MS = 100
"""When a client that has too many requests in flight is to ask again."""


def account_of(peer: Peer) -> str:
    """Return the name under which a client's requests are counted: its key's, else its user's."""
    return f"key:{peer.key}" if peer.key else f"uid:{peer.uid}"


class FairShare:
    """Counts the requests of each account that wait for their answers, and the time that they took in vain.

    Requests of root and the daemon's own user are not bounded, and have no account.
    """

    def __init__(self, manager: ManagerState) -> None:
        self._manager = manager
        self._in_flight: Counter[str] = Counter()
        self._pause_until: dict[str, float] = {}

    def enter(self, account: str) -> Busy | None:
        """Count a request that is to be answered; return `Busy`, and do not count it, if the client has too many."""
        most = self._manager.config.limits.in_flight
        if self._in_flight[account] >= most:
            return Busy(
                f"cannot take the request: {most} of this subject wait for their answers already (limits.in_flight)",
                extra={"retry_after_ms": RETRY_AFTER_MS},
            )
        self._in_flight[account] += 1
        return None

    def leave(self, account: str) -> None:
        """Count a request no longer: it has its answer."""
        self._in_flight[account] -= 1
        if not self._in_flight[account]:
            del self._in_flight[account]  # else every user who ever asked would stay in memory

    def penalize(self, account: str, seconds: float) -> None:
        """Serve others first for as long as a request of this client has taken in vain."""
        self._pause_until[account] = time.monotonic() + seconds

    def expect_quick(self, account: str) -> None:
        """Raise `Busy` if an earlier request of this client has just taken too long."""
        left = self._pause_until.get(account, -math.inf) - time.monotonic()
        if left > 0:
            raise Busy(
                "cannot take the request: an earlier request of this subject took too long, others come first",
                extra={"retry_after_ms": math.ceil(left * 1000)},
            )
        self._pause_until.pop(account, None)
