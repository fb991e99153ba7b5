"""Users of the host, by name."""

import pwd
from functools import lru_cache


@lru_cache(maxsize=256)
def login_name(uid: int | None) -> str:
    """A user's login name, else the number; ``unknown`` where none is told."""
    if uid is None:
        return "unknown"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
