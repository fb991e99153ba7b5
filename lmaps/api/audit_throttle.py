"""Limits how many denials of one subject the audit has rows for, so that nobody fills it by asking."""

import time
from dataclasses import dataclass, field

BURST = 10
"""Denials of a subject that are recorded however fast they come."""
INTERVAL_S = 6.0
"""After a burst one denial in so many seconds is recorded; the others are counted."""


@dataclass(slots=True)
class TokenBucket:
    """The denials of one subject: ``left`` may be recorded, ``suppressed`` were not since the last one that was."""

    left: float = BURST
    at: float = field(default_factory=time.monotonic)
    suppressed: int = 0

    def take(self) -> int | None:
        """Return how many denials were suppressed since the last recorded one; None to suppress this one too."""
        now = time.monotonic()
        self.left, self.at = min(BURST, self.left + (now - self.at) / INTERVAL_S), now
        if self.left < 1:
            self.suppressed += 1
            return None
        self.left -= 1
        before, self.suppressed = self.suppressed, 0
        return before
