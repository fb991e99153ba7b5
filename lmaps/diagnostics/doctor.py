"""Every check of `lmaps doctor`, and one run of them all."""

from collections.abc import Callable, Mapping

from lmaps.diagnostics import files, programs, state
from lmaps.diagnostics.look import Found, Look
from lmaps.errors import LmapsError

CHECKS: Mapping[str, Callable[[Look], Found]] = {
    "daemon": programs.daemon,
    "workers": programs.workers,
    "python": programs.python,
    "sqlite": programs.sqlite,
    "libzmq": programs.libzmq,
    "ansible": programs.ansible,
    "configuration": files.configuration,
    "policy": files.policy,
    "keys": files.keys,
    "sockets": files.sockets,
    "state": files.state,
    "space": state.space,
    "disk": state.disk,
    "clock": state.clock,
    "leftovers": state.leftovers,
    "backups": state.backups,
    "secrets": state.secrets,
    "units": state.units,
}
"""Every check, in the order in which they are told."""


def examine(look: Look) -> dict[str, Found]:
    """What each check finds."""
    return {name: _examined(check, look) for name, check in CHECKS.items()}


def _examined(check: Callable[[Look], Found], look: Look) -> Found:
    try:
        return check(look)
    except PermissionError as error:
        return Found("unknown", f"this user may not look at {error.filename}", "ask as root, or as the daemon's user")
    except OSError as error:
        return Found("fault", f"cannot look at {error.filename}: {error.strerror}")
    except LmapsError as error:
        return Found("unknown", error.message, error.hint)
