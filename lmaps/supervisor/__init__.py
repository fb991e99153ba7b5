"""The supervisor, `lmapsd`: forks one manager and the workers, watches them, replaces what dies, and ends them.

loading     the modules of the daemon, imported quickly
command     the command line of lmapsd
check       lmapsd --check
supervisor  Daemon: one loop that converges to the wanted children, and the steps of the stop
roles       what the children are: the composition of each
rights      what root hands over, and gives up
slots       what is to be filled, and when
children    the fork, and the first acts of a child
backoff     when what died is started again
leftovers   ending what cut off jobs have left running
locks       one daemon per state and socket
signals     signals as bytes in a pipe
report      words for people
systemd     what systemd hears
"""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lmaps.supervisor.loading import loaded

if TYPE_CHECKING:
    from lmaps.supervisor.supervisor import Daemon

__all__ = ["Daemon", "start"]


def start(arguments: Sequence[str] | None = None) -> int:
    """Run lmapsd with ``arguments`` (default: the command line's); the exit code. Errors are told, none is raised."""
    code: int = loaded("lmaps.cli.lmapsd").start(arguments)
    return code


def __getattr__(name: str) -> Any:
    """`Daemon`, imported when it is first asked for: `start` imports it in a quicker way."""
    if name == "Daemon":
        return import_module("lmaps.supervisor.supervisor").Daemon
    raise AttributeError(f"module 'lmaps.supervisor' has no attribute {name!r}")
