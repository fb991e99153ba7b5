"""How many denials of one subject the audit keeps, so that nobody fills it by asking."""

import time
from dataclasses import dataclass, field

AT_ONCE = 10
EVERY = 6.0
"""So many denials of a subject are kept at once, and then one in so many seconds; the others are counted."""


@dataclass(slots=True)
class TokenBucket:
    """The denials of one subject: how many more may be kept, and how many were not since the last one that was."""

    left: float = AT_ONCE
    at: float = field(default_factory=time.monotonic)
    suppressed: int = 0

    def take(self) -> int | None:
        """Keep one more: how many were not kept before it; None if this one is not either."""
        now = time.monotonic()
        self.left, self.at = min(AT_ONCE, self.left + (now - self.at) / EVERY), now
        if self.left < 1:
            self.suppressed += 1
            return None
        self.left -= 1
        before, self.suppressed = self.suppressed, 0
        return before
